package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set by the linker of a release (-X main.version=1.2.3).
var version string

// buildInfo tells which program this is.
type buildInfo struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func readBuildInfo() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Commit = setting.Value
			case "vcs.time":
				b.Time = setting.Value
			case "vcs.modified":
				b.Modified = setting.Value == "true"
			}
		}
		if b.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	return b
}

func newVersionCommand(s *session) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this program",
		Long:    "Print the version of this program, the commit it was built from, and the Go release and platform it was built for.",
		Example: "  weir version\n  weir version -o json",
		Args:    args(0, 0),
		RunE: func(*cobra.Command, []string) error {
			b := readBuildInfo()
			return s.printDocument(b, func(w io.Writer, _ bool) error {
				commit := b.Commit
				if commit == "" {
					commit = "unknown"
				}
				if b.Modified {
					commit += " with changes"
				}
				_, err := fmt.Fprintf(w, "weir %s\ncommit    %s %s\nbuilt by  %s for %s\n", b.Version, commit, b.Time, b.Go, b.Platform)
				return err
			})
		},
	}
	s.addOutput(cmd)
	return cmd
}
