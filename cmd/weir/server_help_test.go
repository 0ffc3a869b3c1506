package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestServerHelpNamesTheFlagsOfItsExamples(t *testing.T) {
	t.Parallel()
	cmd := newServerCommand(newSession(nil, nil, nil))
	var out bytes.Buffer
	cmd.SetOut(&out)
	if err := cmd.Help(); err != nil {
		t.Fatal(err)
	}
	_, flags, _ := strings.Cut(out.String(), "\nFlags:\n")
	flags, cluster, _ := strings.Cut(flags, "\nFlags of a broker of a cluster:\n")
	for _, want := range []string{"--data", "--roles", "--kafka-listen", "--kafka-advertise", "--admin-listen", "--set", "--config"} {
		if !strings.Contains(flags, want+" ") {
			t.Errorf("the help does not name %s", want)
		}
	}
	for _, name := range clusterFlags {
		if strings.Contains(flags, "--"+name+" ") || !strings.Contains(cluster, "--"+name+" ") {
			t.Errorf("the help does not name --%s with those of a cluster", name)
		}
	}
}
