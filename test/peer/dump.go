package peer

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// env is what a scene's values are made of and an answer is shown with.
type env struct {
	keys    map[string]int16
	run     string         // a part of each name that makes it new to the broker; always 8 letters and digits
	now     int64          // start of the run, in ms since 1970
	vars    map[string]any // what let and batch defined
	lets    []string       // names of the variables that let defined, oldest first
	batches []string       // names of the variables that batch defined
	served  map[int16]bool // keys shown of an ApiVersions answer
	hidden  []string       // fields whose values a scene does not care for
}

// Fields that carry an identity, an address, an epoch or a size, which differ between brokers or runs. A value that let
// has bound is shown as its variable, another one as the word given here. Negative numbers and empty values, which mean
// "none", are shown as they are.
var masks = map[string]string{
	"NodeID": "<node>", "Leader": "<node>", "LeaderID": "<node>", "ControllerID": "<node>", "Replicas": "<node>", "ISR": "<node>",
	"Host": "<host>", "Port": "<port>", "ClusterID": "<cluster>", "LeaderEpoch": "<epoch>", "TopicID": "<id>", "ProducerID": "<pid>",
	"MemberID": "<member>", "SessionID": "<session>", "Dir": "<dir>", "Size": "<bytes>", "TotalBytes": "<bytes>", "UsableBytes": "<bytes>",
	"Documentation": "<doc>", "FinalizedFeaturesEpoch": "<epoch>", "ClientHost": "<host>",
}

// Fields left out altogether. Features go with the transaction, KIP-848 and share APIs, which say what they have.
var omitted = map[string]bool{
	"Version": true, "UnknownTags": true, "SupportedFeatures": true, "FinalizedFeatures": true, "FinalizedFeaturesEpoch": true, "ZkMigrationReady": true,
}

// Fields shown even where they have the protocol's default, because an answer reads badly without them.
var shown = map[string]bool{
	"ApiKey": true, "Partition": true, "BaseOffset": true, "HighWatermark": true, "Offset": true, "EndOffset": true, "Generation": true,
	"ProducerID": true, "ProducerEpoch": true,
}

// Lists whose order the protocol fixes; all others are sorted.
var ordered = map[string]bool{"RecordBatches": true, "ConfigSynonyms": true, "ErrorRecords": true}

// notAuthorized is how Kafka quotes a request that it refuses, with addresses of its memory in it.
var notAuthorized = regexp.MustCompile(`^Request Request\(.*\) (needs \w+ permission\.)$`)

var millis = regexp.MustCompile(`\b1[0-9]{12}\b|-92233[0-9]{14}\b`)

// dumpResponse shows resp, one line for each structure, nested lists indented below it.
func (e *env) dumpResponse(resp kmsg.Response) []string {
	v := reflect.ValueOf(resp).Elem()
	if av, ok := resp.(*kmsg.ApiVersionsResponse); ok && len(av.ApiKeys) > 0 {
		return e.dumpVersions(av)
	}
	switch r := resp.(type) {
	case *kmsg.FetchResponse:
		r.Topics = mergeTopics(r.Topics)
	case *kmsg.ElectLeadersResponse: // only those of this run
		r.Topics = slices.DeleteFunc(r.Topics, func(t kmsg.ElectLeadersResponseTopic) bool { return !strings.Contains(t.Topic, e.run) })
	case *kmsg.ListGroupsResponse: // only those of this run
		r.Groups = slices.DeleteFunc(r.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.Contains(g.Group, e.run) })
		if len(r.Groups) == 0 {
			r.Groups = nil // there may be others, or none at all
		}
	}
	lines := e.dumpStruct(v)
	if lines[0] == "" {
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return []string{"(all default)"}
	}
	return lines
}

// mergeTopics puts the partitions of a topic together. Kafka starts a topic anew in a fetch answer where partitions with
// and without errors alternate, and gives an empty list or null for "no aborted transactions" as it comes.
func mergeTopics(topics []kmsg.FetchResponseTopic) []kmsg.FetchResponseTopic {
	var out []kmsg.FetchResponseTopic
	for _, t := range topics {
		for i := range t.Partitions {
			if p := &t.Partitions[i]; len(p.AbortedTransactions) == 0 {
				p.AbortedTransactions = nil
			}
		}
		i := slices.IndexFunc(out, func(o kmsg.FetchResponseTopic) bool { return o.Topic == t.Topic && o.TopicID == t.TopicID })
		if i < 0 {
			out = append(out, t)
			continue
		}
		out[i].Partitions = append(out[i].Partitions, t.Partitions...)
	}
	return out
}

// dumpVersions shows the version ranges of the APIs that are compared, five to a line.
func (e *env) dumpVersions(resp *kmsg.ApiVersionsResponse) []string {
	var ranges []string
	for _, k := range resp.ApiKeys {
		if e.served[k.ApiKey] {
			ranges = append(ranges, fmt.Sprintf("%s=%d-%d", kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion))
		}
	}
	slices.Sort(ranges)
	lines := []string{"ErrorCode=" + errorName(resp.ErrorCode)}
	for five := range slices.Chunk(ranges, 5) {
		lines = append(lines, "  "+strings.Join(five, " "))
	}
	return lines
}

// dumpStruct returns the line of v's plain fields and, after it, the lines of its lists and structures.
func (e *env) dumpStruct(v reflect.Value) []string {
	var plain, below []string
	fresh := newDefault(v.Type()).Elem()
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		f := v.Field(i)
		if omitted[name] {
			continue
		}
		if name == "RecordBatches" || name == "Records" && f.Type().Elem().Kind() == reflect.Uint8 {
			for _, l := range e.dumpBatches(f.Bytes()) {
				below = append(below, "  "+l)
			}
			continue
		}
		if isError(name) || shown[name] || !reflect.DeepEqual(f.Interface(), fresh.Field(i).Interface()) {
			p, b := e.dumpField(name, f)
			if p != "" {
				plain = append(plain, p)
			}
			below = append(below, b...)
		}
	}
	return append([]string{strings.Join(plain, " ")}, below...)
}

func isError(name string) bool { return strings.HasSuffix(name, "ErrorCode") }

// dumpField shows one field either as a plain word or as lines below.
func (e *env) dumpField(name string, f reflect.Value) (plain string, below []string) {
	switch f.Kind() {
	case reflect.Pointer:
		if f.IsNil() {
			return name + "=null", nil
		}
		return e.dumpField(name, f.Elem())
	case reflect.Struct:
		return name + "={" + strings.Join(e.dumpStruct(f), " ") + "}", nil
	case reflect.Slice:
		elem := f.Type().Elem().Kind()
		if elem == reflect.Struct {
			return e.dumpList(name, f)
		}
		if elem != reflect.Uint8 {
			var words []string
			for i := range f.Len() {
				words = append(words, e.show(name, f.Index(i)))
			}
			if !ordered[name] {
				slices.Sort(words)
			}
			return name + "=[" + strings.Join(words, " ") + "]", nil
		}
	}
	return name + "=" + e.show(name, f), nil
}

func (e *env) dumpList(name string, f reflect.Value) (plain string, below []string) {
	if f.Len() == 0 {
		return name + "=[]", nil
	}
	var items []string
	for i := range f.Len() {
		lines := e.dumpStruct(f.Index(i))
		items = append(items, "- "+strings.Join(lines, "\n  "))
	}
	if !ordered[name] {
		slices.Sort(items)
	}
	below = []string{name + ":"}
	for _, item := range items {
		for l := range strings.SplitSeq(item, "\n") {
			below = append(below, "  "+strings.TrimRight(l, " "))
		}
	}
	return "", below
}

// show shows a plain value of the field name.
func (e *env) show(name string, f reflect.Value) string {
	if slices.Contains(e.hidden, name) {
		return "<hidden>"
	}
	switch f.Kind() {
	case reflect.Bool:
		return fmt.Sprint(f.Bool())
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := f.Int()
		switch {
		case isError(name):
			return errorName(int16(n)) //nolint:gosec // it is an int16
		case name == "ApiKey":
			return kmsg.NameForKey(int16(n)) //nolint:gosec // it is an int16
		case strings.Contains(name, "Time") && n > 0:
			return e.when(n)
		case n < 0 || masks[name] == "":
			return fmt.Sprint(n)
		}
		return e.symbol(name, f.Interface())
	case reflect.String:
		s := f.String()
		if s == "" {
			return `""`
		}
		if name == "LeaderID" {
			name = "MemberID" // of a group
		}
		if masks[name] != "" {
			return e.symbol(name, s)
		}
		return e.unrun(notAuthorized.ReplaceAllString(s, "The request $1"))
	case reflect.Array:
		if f.IsZero() {
			return "0"
		}
		return e.symbol(name, f.Interface())
	case reflect.Slice:
		return e.unrun(showBytes(f.Bytes()))
	}
	return fmt.Sprint(f.Interface())
}

// unrun takes what changes from run to run out of a text: the run's name, ids and times.
func (e *env) unrun(s string) string {
	s = strings.ReplaceAll(s, e.run, "$run")
	for _, name := range e.lets {
		switch v := e.vars[name].(type) {
		case [16]byte:
			s = strings.ReplaceAll(s, base64.RawURLEncoding.EncodeToString(v[:]), "$"+name)
		case string:
			if len(v) > 8 {
				s = strings.ReplaceAll(s, v, "$"+name)
			}
		}
	}
	s = millis.ReplaceAllString(s, "<ms>")
	if strings.ContainsAny(s, " \t") && !strings.HasPrefix(s, `"`) {
		s = `"` + s + `"`
	}
	return strings.ReplaceAll(s, "\n", `\n`)
}

// symbol returns the variable that let has bound to v, or the mask of the field name.
func (e *env) symbol(name string, v any) string {
	for _, n := range slices.Backward(e.lets) {
		if e.vars[n] == v {
			return "$" + n
		}
	}
	if n, ok := v.(int64); ok && n < 0 {
		return fmt.Sprint(n)
	}
	if n, ok := v.(int32); ok && n == 0 && name == "SessionID" {
		return "0"
	}
	return masks[name]
}

// when shows a time relative to the start of the run: exactly, if it lies before, as scenes write it; <now> if after.
func (e *env) when(ms int64) string {
	const day = 24 * 3600 * 1000
	switch {
	case ms >= e.now && ms < e.now+day:
		return "<now>"
	case ms < e.now && ms > e.now-day:
		return fmt.Sprintf("$now%d", ms-e.now)
	}
	return fmt.Sprint(ms)
}

func errorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if err := kerr.TypedErrorForCode(code); err != nil {
		return err.Message
	}
	return fmt.Sprint(code)
}
