// Command apidoc writes docs/api.md: the API keys that are served, in which versions, and for every other key of Kafka
// the reason why it is not. The first part comes from the table of internal/broker/api, so it cannot be wrong; the second
// is written here, and the test fails where a key has neither or both.
//
// Usage: apidoc FILE
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/api"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: apidoc FILE")
		os.Exit(2)
	}
	text, err := document()
	if err == nil {
		err = os.WriteFile(os.Args[1], text, 0o644) //nolint:gosec // a document for everybody
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "apidoc:", err)
		os.Exit(1)
	}
}

// highestKey is the last key that Kafka 4.4 has.
const highestKey = 94

// Reasons that several keys share.
const (
	gone  = "Between the brokers of Kafka before 4.0, which dropped it."
	kraft = "Between the nodes of a KRaft cluster. Weir keeps its metadata in a store of its own."
)

// notServed is why, for every key that the table does not have.
var notServed = map[int16]string{
	4: gone, 5: gone, 6: gone, 7: gone,
	52: kraft, 53: kraft, 54: kraft, 56: kraft, 58: kraft, 59: kraft, 62: kraft, 63: kraft, 67: kraft, 70: kraft, 73: kraft,
	82: kraft, 94: kraft,
	93: "New in Kafka 4.4 (KIP-1331): a client describes its topology for tools; Kafka 4.3 has no such key.",
}

// needs writes what callers may have to be allowed.
func needs(all []api.Need) string {
	var out []string
	for _, n := range all {
		if n != (api.Need{}) {
			out = append(out, n.Operation.String()+" on "+n.Resource.String())
		}
	}
	return strings.ReplaceAll(strings.ToLower(strings.Join(out, ", ")), "_", " ")
}

// document returns the text of docs/api.md.
func document() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("<!-- Written by tools/apidoc from the table in internal/broker/api/table.go: go generate ./internal/broker/api -->\n" +
		"# Kafka APIs\n\nRequests of any other key or version close the connection, as in Kafka; only ApiVersions is then answered, in version 0\n" +
		"with UNSUPPORTED_VERSION. How an answer differs from Kafka's, if it does, is said at the top of the handler's file.\n\n" +
		"## Served\n\nThe last column is what a caller may have to be allowed, where there is an authorizer; which of it depends on what a request names.\n\n" +
		"| key | name | versions | file | needs |\n|---|---|---|---|---|\n")
	served := map[int16]bool{}
	for _, r := range api.Served() {
		served[r.Key] = true
		versions := fmt.Sprintf("%d-%d", r.Min, r.Max)
		if r.Min == r.Max {
			versions = fmt.Sprint(r.Min)
		}
		if r.Advertised != r.Min {
			versions += fmt.Sprintf(" (advertised from %d)", r.Advertised)
		}
		fmt.Fprintf(&b, "| %d | %s | %s | [%s](../internal/broker/api/%[4]s) | %[5]s |\n", r.Key, r.Name, versions, r.File, needs(r.Needs))
	}
	b.WriteString("\n## Not served\n\n| key | name | why |\n|---|---|---|\n")
	for key := range int16(highestKey + 1) {
		why, listed := notServed[key]
		if served[key] == listed {
			return nil, fmt.Errorf("key %d (%s): served is %t, a reason why not is there: %t", key, kmsg.NameForKey(key), served[key], listed)
		}
		if listed {
			fmt.Fprintf(&b, "| %d | %s | %s |\n", key, kmsg.NameForKey(key), why)
		}
	}
	return b.Bytes(), nil
}
