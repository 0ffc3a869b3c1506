package peer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Runner runs scenes against one broker.
type Runner struct {
	addr  string
	env   *env
	conns map[string]*conn
	last  kmsg.Response // the last answer, for let
	took  time.Duration // how long it took
}

// served are the APIs that both brokers have; an ApiVersions answer is compared for these only, because an API that is
// not there yet is absent from it.
var served = []int16{
	0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 37, 42, 43, 44, 45, 46, 47, 48, 49, 55,
	57, 60, 61, 64, 65, 66, 74, 75, 80, 81,
}

// NewRunner returns a runner for the broker at addr. run, 8 letters and digits, makes its names new to that broker.
func NewRunner(addr, run string, now time.Time) *Runner {
	e := &env{keys: apiKeys(), run: run, now: now.UnixMilli(), vars: map[string]any{}, served: map[int16]bool{}}
	for _, k := range served {
		e.served[k] = true
	}
	return &Runner{addr: addr, env: e, conns: map[string]*conn{}}
}

// Close closes the runner's connections.
func (r *Runner) Close() {
	for _, c := range r.conns {
		c.close()
	}
	clear(r.conns)
}

// Run runs the scene. An error means that the scene is wrong or the broker cannot be reached; what the broker answers, or
// that it does not, is in the transcript.
func (r *Runner) Run(ctx context.Context, s *Scene) (Transcript, error) {
	defer r.Close()
	var t Transcript
	for _, b := range s.blocks {
		if len(b.lines) == 0 {
			continue
		}
		lines, err := r.block(ctx, b.command)
		if err != nil {
			return t, fmt.Errorf("%s.txt:%d: %s: %w", s.Name, b.line, b.command, err)
		}
		if b.exchange {
			t = append(t, Exchange{s.Name, b.line, b.command, lines})
		}
	}
	return t, nil
}

var (
	connForm    = regexp.MustCompile(`^@(\w+)\s+`)
	untilForm   = regexp.MustCompile(`^(until|unless)\(([^)]*)\)\s+`)
	requestForm = regexp.MustCompile(`^(\w+) v(\d+)\s+(\{.*?)\s*(&|!|\+ .*)?$`)
)

// block runs one command:
//
//	batch NAME {...}                 defines the bytes of a batch
//	let NAME = PATH                  binds a part of the last answer: Topics[0].TopicID
//	elapsed MIN MAX                  how long the last answer took
//	hide FIELD...                    leaves the values of these fields out of the answers that follow
//	features NAME...                 what the last answer, of ApiVersions, says of these features
//	[@CONN] [until(TEXT)|unless(TEXT)|settle] NAME vN {...} [&|!|+ BYTES]
//	                                 a request; until repeats it until the answer has TEXT, unless while it has TEXT, settle
//	                                 while a new topic or coordinator is not known yet (10 s at most); & sends only, ! expects no answer, + sends further bytes in the frame
//	[@CONN] wait                     the answer of the oldest request sent with &
//	[@CONN] frame BYTES              bytes with a size before them, and the answer's size or "closed"
//	[@CONN] bytes BYTES              bytes as they are, and what comes back
//	[@CONN] hangup                   closes the connection
//
// A connection whose name begins with "other" comes from 127.0.0.2, all others from 127.0.0.1.
func (r *Runner) block(ctx context.Context, cmd string) ([]string, error) {
	name := "main"
	if m := connForm.FindStringSubmatch(cmd); m != nil {
		name, cmd = m[1], cmd[len(m[0]):]
	}
	verb, rest, _ := strings.Cut(cmd, " ")
	switch verb {
	case "batch":
		return nil, r.defineBatch(rest)
	case "let":
		return nil, r.let(rest)
	case "elapsed":
		return r.elapsed(rest)
	case "hide":
		r.env.hidden = strings.Fields(rest)
		return nil, nil
	case "features":
		return r.features(strings.Fields(rest))
	case "wait":
		return r.wait(name)
	case "hangup":
		r.drop(name)
		return []string{"(closed by us)"}, nil
	case "frame", "bytes":
		return r.raw(ctx, name, verb == "frame", rest)
	}
	return r.request(ctx, name, cmd)
}

func (r *Runner) conn(ctx context.Context, name string) (*conn, error) {
	if c := r.conns[name]; c != nil {
		return c, nil
	}
	c, err := dial(ctx, r.addr, name)
	if err == nil {
		r.conns[name] = c
	}
	return c, err
}

func (r *Runner) drop(name string) {
	if c := r.conns[name]; c != nil {
		c.close()
		delete(r.conns, name)
	}
}

func (r *Runner) request(ctx context.Context, name, cmd string) ([]string, error) {
	cmd, done := condition(cmd)
	m := requestForm.FindStringSubmatch(cmd)
	if m == nil {
		return nil, errors.New("not a command")
	}
	version, err := strconv.ParseInt(m[2], 10, 16)
	if err != nil {
		return nil, err
	}
	v, err := parseValue(m[3])
	if err != nil {
		return nil, err
	}
	var extra []byte
	if strings.HasPrefix(m[4], "+") {
		if extra, err = r.bytes(m[4][2:]); err != nil {
			return nil, err
		}
	}
	deadline := time.Now().Add(time.Minute)
	for {
		req, err := r.env.build(m[1], int16(version), v) //nolint:gosec // parsed as 16 bits
		if err != nil {
			return nil, err
		}
		c, err := r.conn(ctx, name)
		if err != nil {
			return nil, err
		}
		if err := c.send(req, extra); err != nil {
			r.drop(name)
			return []string{err.Error()}, nil //nolint:nilerr // how the broker failed is the answer
		}
		switch m[4] {
		case "&":
			return []string{"(sent)"}, nil
		case "!":
			c.waiting = c.waiting[:len(c.waiting)-1]
			return []string{"(no answer expected)"}, nil
		}
		lines, err := r.wait(name)
		if err != nil || done(strings.Join(lines, "\n")) || time.Now().After(deadline) {
			return lines, err
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// unsettled are the errors that pass by themselves once a new topic or coordinator is known everywhere in the broker.
var unsettled = []string{
	"UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID", "NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE",
	"COORDINATOR_NOT_AVAILABLE", "COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR",
}

// condition cuts what says how long to repeat off cmd and returns a test of an answer: true to stop.
func condition(cmd string) (rest string, done func(answer string) bool) {
	if rest, ok := strings.CutPrefix(cmd, "settle "); ok {
		return rest, func(answer string) bool {
			return !slices.ContainsFunc(unsettled, func(e string) bool { return strings.Contains(answer, e) })
		}
	}
	m := untilForm.FindStringSubmatch(cmd)
	if m == nil {
		// How long a coordinator takes to load depends on the machine, and no scene is about that.
		return cmd, func(answer string) bool { return !strings.Contains(answer, "COORDINATOR_LOAD_IN_PROGRESS") }
	}
	return cmd[len(m[0]):], func(answer string) bool { return strings.Contains(answer, m[2]) == (m[1] == "until") }
}

// pause waits for d between two tries.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wait shows the answer of the oldest waiting request of the connection name.
func (r *Runner) wait(name string) ([]string, error) {
	c := r.conns[name]
	if c == nil {
		return []string{"(no connection)"}, nil
	}
	resp, took, notes, err := c.answer()
	r.took = took
	if err != nil {
		r.drop(name)
		return []string{err.Error()}, nil //nolint:nilerr // how the broker failed is the answer
	}
	r.last = resp
	return append(r.env.dumpResponse(resp), notes...), nil
}

func (r *Runner) raw(ctx context.Context, name string, framed bool, expr string) ([]string, error) {
	b, err := r.bytes(expr)
	if err != nil {
		return nil, err
	}
	c, err := r.conn(ctx, name)
	if err != nil {
		return nil, err
	}
	if framed {
		size := len(b)
		b = append([]byte{byte(size >> 24), byte(size >> 16), byte(size >> 8), byte(size)}, b...) //nolint:gosec // bytes of a size
	}
	if err := c.write(b); err != nil {
		r.drop(name)
		return []string{err.Error()}, nil //nolint:nilerr // how the broker failed is the answer
	}
	got, err := c.receive(answerTimeout)
	if err != nil {
		r.drop(name)
		return []string{err.Error()}, nil //nolint:nilerr // how the broker failed is the answer
	}
	if len(got) > 64 {
		return []string{fmt.Sprintf("answer of %d bytes", len(got))}, nil
	}
	return []string{fmt.Sprintf("answer %x", got)}, nil
}

func (r *Runner) bytes(expr string) ([]byte, error) {
	v, err := parseValue(expr)
	if err != nil {
		return nil, err
	}
	got, err := r.env.eval(v)
	return bytesOf(got), err
}

func (r *Runner) defineBatch(rest string) error {
	name, expr, _ := strings.Cut(rest, " ")
	if strings.HasPrefix(expr, "{") {
		expr = "batch" + expr
	}
	b, err := r.bytes(expr)
	if err != nil {
		return err
	}
	r.env.vars[name] = b
	r.env.batches = append(r.env.batches, name)
	return nil
}

// let binds NAME = PATH, where a path is field names and indexes of the last answer. A path that leads nowhere binds
// nothing: the scene goes on, and shows the difference where the variable is missing.
func (r *Runner) let(rest string) error {
	name, path, ok := strings.Cut(rest, " = ")
	if !ok {
		return errors.New("want let NAME = PATH")
	}
	v := reflect.ValueOf(r.last)
	for _, step := range strings.FieldsFunc(path, func(c rune) bool { return c == '.' || c == '[' || c == ']' }) {
		for v.Kind() == reflect.Pointer {
			v = v.Elem()
		}
		if !v.IsValid() {
			break
		}
		if i, err := strconv.Atoi(step); err == nil {
			if v.Kind() != reflect.Slice || i >= v.Len() {
				v = reflect.Value{}
				break
			}
			v = v.Index(i)
			continue
		}
		if v.Kind() != reflect.Struct {
			return fmt.Errorf("%s has no fields", v.Type())
		}
		v = v.FieldByName(step)
	}
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() {
		r.env.vars[name] = unset{}
		return nil
	}
	r.env.vars[name] = v.Interface()
	r.env.lets = append(r.env.lets, name)
	return nil
}

// features shows what an answer to ApiVersions says of features: "name finalized of lowest-highest", one a line.
func (r *Runner) features(names []string) ([]string, error) {
	v, ok := r.last.(*kmsg.ApiVersionsResponse)
	if !ok {
		return nil, errors.New("the last answer is not of ApiVersions")
	}
	levels := map[string][2]string{}
	for _, f := range v.FinalizedFeatures {
		levels[f.Name] = [2]string{fmt.Sprintf("%d-%d", f.MinVersionLevel, f.MaxVersionLevel), "-"}
	}
	for _, s := range v.SupportedFeatures {
		finalized := cmp.Or(levels[s.Name][0], "-")
		levels[s.Name] = [2]string{finalized, fmt.Sprintf("%d-%d", s.MinVersion, s.MaxVersion)}
	}
	var lines []string
	for _, name := range names {
		l, ok := levels[name]
		if !ok {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s finalized %s of %s", name, l[0], l[1]))
	}
	slices.Sort(lines)
	if v.FinalizedFeaturesEpoch < 0 {
		lines = append(lines, "no epoch")
	}
	return lines, nil
}

func (r *Runner) elapsed(rest string) ([]string, error) {
	var low, high string
	if _, err := fmt.Sscan(rest, &low, &high); err != nil {
		return nil, err
	}
	lowest, err := time.ParseDuration(low)
	if err != nil {
		return nil, err
	}
	highest, err := time.ParseDuration(high)
	if err != nil {
		return nil, err
	}
	if r.took < lowest || r.took > highest {
		return []string{"took " + r.took.String()}, nil
	}
	return []string{"in time"}, nil
}

func valueOf(p any) reflect.Value { return reflect.ValueOf(p).Elem() }
