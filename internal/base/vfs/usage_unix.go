//go:build linux || darwin

package vfs

import "golang.org/x/sys/unix"

func diskUsage(dir string) (Usage, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(dir, &st)
		if err == unix.EINTR { //nolint:errorlint // a bare errno from the kernel
			continue
		}
		if err != nil {
			return Usage{}, err
		}
		block := uint64(st.Bsize)
		return Usage{FreeBytes: st.Bavail * block, TotalBytes: st.Blocks * block}, nil
	}
}
