package main

import (
	"slices"
	"strings"
	"testing"
)

func TestImageMappingsAreThoseThatOnlyTheFileCanFill(t *testing.T) {
	t.Parallel()
	const smaps = `00400000-02221000 r-xp 00000000 08:01 11 /opt/we ir/weir
Size:              30844 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
02221000-04339000 r--p 01e21000 08:01 11 /opt/we ir/weir
Anonymous:             4 kB
04339000-04349000 r--p 03f39000 08:01 11 /opt/we ir/weir
Anonymous:             0 kB
04349000-04422000 rw-p 03f49000 08:01 11 /opt/we ir/weir
Anonymous:             0 kB
1dd242800000-1dd243400000 rw-p 00000000 00:00 0
Anonymous:             0 kB
7f0f69e6b000-7f0f69fc1000 r-xp 00000000 08:01 12 /usr/lib/libc.so.6
Anonymous:             0 kB
`
	got, err := imageMappings(strings.NewReader(smaps), "/opt/we ir/weir")
	want := []mapping{{0x400000, 0x2221000}, {0x4339000, 0x4349000}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %x, %v; want %x", got, err, want)
	}
}

func TestAProcessRunsOnWithItsImageReleased(t *testing.T) {
	t.Parallel()
	if err := releaseImage(); err != nil {
		t.Fatal(err)
	}
}
