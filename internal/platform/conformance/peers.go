package conformance

import (
	"fmt"
	"io/fs"
	"strings"
)

// A file of peers/ is named after a registry. A line that begins at the left is a reason, and the cases below it, each as "group: case",
// are those in which this registry differs for that reason; "group: *" stands for all of a group that fail:
//
//	parses no schema
//	    register: a text that is no Avro schema
//	    avro: *

// difference is the reason of a case; any means that the case may also pass.
type difference struct {
	why string
	any bool
}

// Peers returns the registries whose differences are known.
func Peers() ([]string, error) {
	names, err := fs.Glob(files, "peers/*.txt")
	if err != nil {
		return nil, fmt.Errorf("list the files of known differences: %w", err)
	}
	for i, n := range names {
		names[i] = strings.TrimSuffix(strings.TrimPrefix(n, "peers/"), ".txt")
	}
	return names, nil
}

// differences reads the file of a peer; "" has none.
func differences(peer string) (map[string]difference, error) {
	if peer == "" {
		return nil, nil
	}
	text, err := files.ReadFile("peers/" + peer + ".txt")
	if err != nil {
		names, listErr := Peers()
		if listErr != nil {
			return nil, listErr
		}
		return nil, fmt.Errorf("no differences of %q are known: use one of %s", peer, strings.Join(names, ", "))
	}
	out := map[string]difference{}
	why := ""
	for line := range strings.Lines(string(text)) {
		name := strings.TrimSpace(line)
		switch {
		case name == "" || strings.HasPrefix(name, "#"):
		case !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t"):
			why = name
		default:
			out[name] = difference{why, strings.HasSuffix(name, ": *")}
		}
	}
	return out, nil
}

// judge takes a failure that is known for what it is, and says so if a case does not fail that should.
func judge(r Result, known map[string]difference) Result {
	d, ok := known[r.Group+": "+r.Case]
	if !ok {
		d, ok = known[r.Group+": *"]
	}
	switch {
	case !ok:
	case r.Outcome == Failed:
		r.Outcome, r.Why = Differs, d.why
	case r.Outcome == Passed && !d.any:
		r.Outcome, r.Why = Agrees, d.why
	}
	return r
}
