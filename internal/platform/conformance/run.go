package conformance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxAnswerBytes bounds what is read of an answer.
const maxAnswerBytes = 8 << 20

// Options choose the registry and the cases.
type Options struct {
	// URL is the registry's, without a slash at its end.
	URL string
	// Client makes the requests; it knows of TLS and of time-outs. Nil is http.DefaultClient.
	Client *http.Client
	// Header is added to every request: Authorization.
	Header http.Header
	// Groups and Cases choose by name; a case is chosen by a part of its name. Empty means all.
	Groups, Cases []string
	// Global also runs the cases that change what all subjects share, one at a time, after the others.
	Global bool
	// Peer names a registry that is known to differ in some cases, as the cases say.
	Peer string
	// Jobs is how many cases run at a time; 0 means 4.
	Jobs int
	// Run makes names unique: it is a part of every subject. It consists of letters and digits.
	Run string
}

// Outcome of a case.
type Outcome string

// Outcomes. Differs and Agrees are those of a registry that is known to differ in this case.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
	Differs Outcome = "differs"
	Agrees  Outcome = "agrees"
)

// Result is what a case came to. The last four fields are about the request that failed.
type Result struct {
	Group    string  `json:"group"`
	Case     string  `json:"case"`
	Where    string  `json:"where"`
	Outcome  Outcome `json:"outcome"`
	Request  string  `json:"request,omitempty"`
	Expected string  `json:"expected,omitempty"`
	Got      string  `json:"got,omitempty"`
	Why      string  `json:"why,omitempty"`
}

// Run runs the chosen cases and returns their results in the order of the files. The error is about choosing them; a registry that
// does not answer makes cases fail. When ctx ends, the cases that are left are skipped.
func Run(ctx context.Context, o Options) ([]Result, error) {
	cases, err := Cases()
	if err != nil {
		return nil, err
	}
	if cases, err = choose(cases, o); err != nil {
		return nil, err
	}
	known, err := differences(o.Peer)
	if err != nil {
		return nil, err
	}
	out := make([]Result, len(cases))
	shared := make(chan int)
	var wg sync.WaitGroup
	for range cmp.Or(o.Jobs, 4) {
		wg.Go(func() {
			for i := range shared {
				out[i] = judge(runCase(ctx, o, cases[i], i), known)
			}
		})
	}
	for i, c := range cases {
		if !c.Global {
			shared <- i
		}
	}
	close(shared)
	wg.Wait()
	for i, c := range cases {
		switch {
		case c.Global && o.Global:
			out[i] = judge(runCase(ctx, o, c, i), known)
		case c.Global:
			out[i] = Result{Group: c.Group, Case: c.Name, Where: where(c), Outcome: Skipped, Why: "changes what all subjects share; runs with --global"}
		}
	}
	return out, nil
}

func where(c Case) string { return fmt.Sprintf("%s:%d", c.File, c.Line) }

func choose(cases []Case, o Options) ([]Case, error) {
	for _, g := range o.Groups {
		if !slices.Contains(Groups(cases), g) {
			return nil, fmt.Errorf("there is no group %q: use one of %s", g, strings.Join(Groups(cases), ", "))
		}
	}
	var out []Case
	for _, c := range cases {
		named := len(o.Cases) == 0 || slices.ContainsFunc(o.Cases, func(part string) bool { return strings.Contains(c.Name, part) || where(c) == part })
		if named && (len(o.Groups) == 0 || slices.Contains(o.Groups, c.Group)) {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no case has such a name")
	}
	return out, nil
}

// trial is one case while it runs. It belongs to one goroutine.
type trial struct {
	ctx   context.Context // of this one case
	o     Options
	names map[string]any
	// made remembers paths whose settings are to be removed.
	made []string
	used string // all paths and bodies, to know which names were in use
}

func runCase(ctx context.Context, o Options, c Case, number int) Result {
	r := Result{Group: c.Group, Case: c.Name, Where: where(c), Outcome: Passed}
	if ctx.Err() != nil {
		r.Outcome, r.Why = Skipped, "interrupted"
		return r
	}
	own := fmt.Sprintf("cf%s-%d", o.Run, number)
	t := &trial{ctx: ctx, o: o, names: map[string]any{"s": own, "c": "." + own, "r": "r" + own, "k": "k" + own}}
	var err error
	if c.pair != nil {
		err = t.pair(c.pair)
	} else {
		for _, step := range c.Steps {
			if err = t.step(step); err != nil {
				break
			}
		}
	}
	// What was made is removed even when the run is interrupted, in bounded time.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	t.ctx = clean
	t.cleanUp()

	if err != nil {
		r.Outcome, r.Got = Failed, err.Error()
		if f, ok := errors.AsType[*failure](err); ok {
			r.Request, r.Expected, r.Got = f.request, f.expected, f.got
		}
	}
	return r
}

// failure is a request that was not answered as it has to be.
type failure struct{ request, expected, got string }

func (f *failure) Error() string { return f.got }

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request.
func (t *trial) do(method, path string, header [][2]string, body *string) (answer, error) {
	var in io.Reader
	if body != nil {
		in = strings.NewReader(*body)
	}
	req, err := http.NewRequestWithContext(t.ctx, method, t.o.URL+path, in)
	if err != nil {
		return answer{}, fmt.Errorf("make the request %s %s: %w", method, path, err)
	}
	maps.Copy(req.Header, t.o.Header)
	if body != nil {
		req.Header.Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	}
	for _, h := range header {
		if h[1] == "" {
			req.Header.Del(h[0])
			continue
		}
		req.Header.Set(h[0], h[1])
	}
	client := t.o.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("ask the registry: %w", err)
	}
	all, err := io.ReadAll(io.LimitReader(res.Body, maxAnswerBytes))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return answer{}, fmt.Errorf("read the answer: %w", err)
	}
	t.used += path
	if body != nil {
		t.used += *body
	}
	if method == http.MethodPut && res.StatusCode == http.StatusOK {
		t.made = append(t.made, path)
	}
	return answer{res.StatusCode, res.Header, all}, nil
}

// step sends one request of a case and compares.
func (t *trial) step(s Step) error {
	path := replace(s.Path, t.names)
	var body *string
	if s.Body != nil {
		text := replace(*s.Body, t.names)
		body = &text
	}
	got, err := t.do(s.Method, path, s.Header, body)
	if err != nil {
		return &failure{t.curl(s.Method, path, s.Header, body), s.expects(), err.Error()}
	}
	if err := s.check(got, t.names); err != nil {
		return &failure{t.curl(s.Method, path, s.Header, body), s.expects(), err.Error()}
	}
	return nil
}

func (s Step) expects() string {
	var b strings.Builder
	for i, n := range s.Status {
		if i > 0 {
			b.WriteByte('|')
		}
		fmt.Fprint(&b, n)
	}
	if s.Code != 0 {
		fmt.Fprintf(&b, ", error_code %d", s.Code)
	}
	return b.String()
}

// check compares an answer with what is expected.
func (s Step) check(got answer, names map[string]any) error {
	summary := fmt.Sprintf("%d %s", got.status, short(string(got.body)))
	if !slices.Contains(s.Status, got.status) {
		return errors.New(summary)
	}
	for _, h := range s.AnswerHeader {
		if v := got.header.Get(h[0]); !strings.HasPrefix(v, h[1]) {
			return fmt.Errorf("header %s: want %q, got %q", h[0], h[1], v)
		}
	}
	if s.Code == 0 && s.Want == nil {
		return nil
	}
	if s.Want != nil && wantsRaw(s.Want) {
		if k, ok := s.Want.(kindP); ok && k.kind == "empty" {
			if len(got.body) != 0 {
				return fmt.Errorf("want no body, got %s", summary)
			}
			return nil
		}
		return s.Want.match("", rawText(strings.TrimRight(string(got.body), "\n")), true, names)
	}
	v, err := decode(got.body)
	if err != nil {
		return fmt.Errorf("body is no JSON (%w): %s", err, summary)
	}
	if s.Code != 0 {
		m, _ := v.(map[string]any)
		text, _ := m["message"].(string)
		if fmt.Sprint(m["error_code"]) != fmt.Sprint(s.Code) || text == "" {
			return errors.New(summary)
		}
	}
	if s.Want == nil {
		return nil
	}
	return s.Want.match("", v, true, names)
}

func short(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 400 {
		return strings.ToValidUTF8(s[:400], "") + "..."
	}
	return s
}

// curl writes a request as a line for a shell.
func (t *trial) curl(method, path string, header [][2]string, body *string) string {
	var b strings.Builder
	b.WriteString("curl -s")
	switch {
	case method == http.MethodHead:
		b.WriteString(" -I")
	case method != http.MethodGet:
		b.WriteString(" -X " + method)
	}
	kind := "application/vnd.schemaregistry.v1+json"
	for _, h := range header {
		if h[0] == "Content-Type" {
			kind = h[1]
			continue
		}
		b.WriteString(" -H " + shell(h[0]+": "+h[1]))
	}
	if body != nil {
		b.WriteString(" -H " + shell("Content-Type: "+kind) + " -d " + shell(*body))
	}
	return b.String() + " " + shell(t.o.URL+path)
}

func shell(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// subjectsOf lists the subjects of this case in a context; "" is the default one.
func (t *trial) subjectsOf(contextName string) []string {
	prefix := fmt.Sprint(t.names["s"])
	if contextName != "" {
		prefix = ":" + contextName
	}
	a, err := t.do(http.MethodGet, "/subjects?deleted=true&subjectPrefix="+url.QueryEscape(prefix), nil, nil)
	if err != nil || a.status != http.StatusOK {
		return nil
	}
	v, err := decode(a.body)
	if err != nil {
		return nil
	}
	list, _ := v.([]any)
	var out []string
	for _, x := range list {
		if s, ok := x.(string); ok && strings.HasPrefix(s, prefix) {
			out = append(out, s)
		}
	}
	return out
}

// cleanUp removes what the case made. It does what it can: a registry that fails here has failed already, or will in the next case.
func (t *trial) cleanUp() {
	try := func(method, path string) {
		_, _ = t.do(method, path, nil, nil) // whether it worked shows in the next list
	}
	used := t.used
	slices.Reverse(t.made)
	for _, kind := range []string{"/mode", "/config"} {
		for _, path := range t.made {
			path, _, _ = strings.Cut(path, "?")
			if strings.Contains(path, kind+"/") || strings.HasSuffix(path, kind) {
				try(http.MethodDelete, path)
			}
		}
	}
	name := fmt.Sprint(t.names["s"])
	if strings.Contains(used, "/associations") {
		for _, r := range []string{"", "-b"} {
			try(http.MethodDelete, "/associations/resources/"+fmt.Sprint(t.names["r"])+r+"?cascadeLifecycle=true")
		}
	}
	if strings.Contains(used, "/dek-registry") {
		t.cleanKeys(try)
	}
	contexts := []string{""}
	if c := fmt.Sprint(t.names["c"]); strings.Contains(used, c) {
		contexts = append(contexts, c, c+"-b")
	}
	if !strings.Contains(used, name) {
		return
	}
	for _, c := range contexts {
		// A subject that others refer to goes after them.
		for range 4 {
			left := t.subjectsOf(c)
			if len(left) == 0 {
				break
			}
			for _, s := range left {
				try(http.MethodDelete, "/subjects/"+url.PathEscape(s))
				try(http.MethodDelete, "/subjects/"+url.PathEscape(s)+"?permanent=true")
			}
		}
		if c != "" {
			try(http.MethodDelete, "/contexts/"+c)
		}
	}
}

// cleanKeys removes keys for encryption: first soft, then for good, as the interface wants it.
func (t *trial) cleanKeys(try func(method, path string)) {
	k := fmt.Sprint(t.names["k"])
	for _, kek := range []string{k, k + "-b"} {
		path := "/dek-registry/v1/keks/" + kek
		a, err := t.do(http.MethodGet, path+"/deks?deleted=true", nil, nil)
		if err == nil && a.status == http.StatusOK {
			v, _ := decode(a.body)
			list, _ := v.([]any)
			for _, subject := range list {
				for _, alg := range []string{"AES256_GCM", "AES256_SIV", "AES128_GCM"} {
					dek := path + "/deks/" + url.PathEscape(fmt.Sprint(subject)) + "?algorithm=" + alg
					try(http.MethodDelete, dek)
					try(http.MethodDelete, dek+"&permanent=true")
				}
			}
		}
		try(http.MethodDelete, path)
		try(http.MethodDelete, path+"?permanent=true")
	}
}
