package blob

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// List implements Store. It reads only folders that can hold an answer, and stops at the limit.
func (d *Dir) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	l := lister{dir: d, prefix: prefix, after: after, limit: limit}
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if folder != "" && CheckKey(strings.TrimSuffix(folder, "/")) != nil {
		return nil, nil //nolint:nilerr // no key can start with it
	}
	if err := l.walk(ctx, folder); err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	return l.found, nil
}

type lister struct {
	dir           *Dir
	prefix, after string
	limit         int
	found         []Info
}

func (l *lister) full() bool { return l.limit > 0 && len(l.found) >= l.limit }

// walk collects the objects of folder, which is empty or ends in a slash, in the order of their keys.
func (l *lister) walk(ctx context.Context, folder string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	names, err := l.dir.fs.List(l.dir.file(folder))
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	// A folder sorts as its name with the slash: "a-b" is before "a/b", and that before "a0".
	entries := make([]Info, 0, len(names))
	for _, name := range names {
		if name[0] == '.' || !l.mayHold(folder+name) {
			continue
		}
		info, err := l.dir.fs.Stat(filepath.Join(l.dir.root, filepath.FromSlash(folder+name)))
		if isAbsent(err) {
			continue // deleted since
		}
		if err != nil {
			return err
		}
		if info.IsDir() {
			entries = append(entries, Info{Key: folder + name + "/"})
		} else {
			entries = append(entries, Info{Key: folder + name, Size: info.Size()})
		}
	}
	slices.SortFunc(entries, func(a, b Info) int { return strings.Compare(a.Key, b.Key) })
	for _, e := range entries {
		if l.full() {
			return nil
		}
		if strings.HasSuffix(e.Key, "/") {
			// Every key inside starts with e.Key, so all are at or before after, or none is known to be.
			if e.Key > l.after || strings.HasPrefix(l.after, e.Key) {
				if err := l.walk(ctx, e.Key); err != nil {
					return err
				}
			}
			continue
		}
		if e.Key > l.after && strings.HasPrefix(e.Key, l.prefix) {
			l.found = append(l.found, e)
		}
	}
	return nil
}

// mayHold reports whether path, as an object or as a folder, can give an answer; it saves the stat of others.
func (l *lister) mayHold(path string) bool {
	if !strings.HasPrefix(path, l.prefix) && !strings.HasPrefix(l.prefix, path) {
		return false
	}
	return path > l.after || strings.HasPrefix(l.after, path) || path+"/" > l.after
}
