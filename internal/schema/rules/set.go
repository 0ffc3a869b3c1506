package rules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/schema"
)

// Set is a rule set whose programs are compiled.
type Set struct {
	engine   *Engine
	meta     schema.Metadata
	tags     tagger
	migrate  []*prepared
	domain   []*prepared
	encoding []*prepared
}

// prepared is one rule with what it takes to run it.
type prepared struct {
	rule schema.Rule
	kind string
	mode Mode
	run  Executor
	err  error // why it cannot be run: it then fails whenever it is its turn
	// shadowed says that an earlier transform is for the same tags and takes its place, in both directions: what was encrypted
	// by one rule is decrypted by the same.
	shadowed bool
}

// Prepare compiles a rule set. A rule that cannot be compiled, or whose type nobody knows, is no error here: it fails when it
// would run, with the action that it demands for that. Use Check to refuse such rules beforehand. A nil rule set gives a Set
// that lets everything pass.
func (e *Engine) Prepare(rs *schema.RuleSet, m *schema.Metadata) *Set {
	s := &Set{engine: e}
	if m != nil {
		s.meta = *m
		s.tags = newTagger(m.Tags)
	}
	if rs == nil || !enabledAt(rs.EnableAt, e.opts.Environment) {
		return s
	}
	s.migrate, s.domain, s.encoding = s.prepare(rs.MigrationRules), s.prepare(rs.DomainRules), s.prepare(rs.EncodingRules)
	return s
}

func enabledAt(at, environment string) bool {
	return at == "" || strings.EqualFold(at, "ALL") || strings.EqualFold(at, environment)
}

func (s *Set) prepare(list []schema.Rule) []*prepared {
	var out []*prepared
	for i := range list {
		r := list[i]
		if r.Disabled {
			continue
		}
		p := &prepared{rule: r, kind: kindOf(&r), mode: modeOf(&r)}
		p.run, p.err = s.executor(&r, p.kind)
		p.shadowed = slices.ContainsFunc(list[:i], func(o schema.Rule) bool { return sameTransform(&r, &o) })
		out = append(out, p)
	}
	return out
}

func (s *Set) executor(r *schema.Rule, kind string) (Executor, error) {
	if run := s.engine.opts.Executors[r.Type]; run != nil {
		return run, nil
	}
	switch r.Type {
	case TypeCEL:
		return s.compileMessage(r, kind)
	case TypeCELField:
		return s.compileField(r, kind)
	case "JSONATA":
		return nil, fmt.Errorf("rule %q: JSONATA is carried out by clients alone: write the rule in CEL for it to be carried out here: %w", r.Name, ErrUnsupported)
	}
	return nil, fmt.Errorf("rule %q: type %q: %w", r.Name, r.Type, ErrUnsupported)
}

// Has says whether any rule would run; callers use it to not decode what no rule looks at.
func (s *Set) Has(p Phase, m Mode) bool {
	return slices.ContainsFunc(s.list(p), func(r *prepared) bool { return r.mode.covers(m) })
}

func (s *Set) list(p Phase) []*prepared {
	switch p {
	case Migration:
		return s.migrate
	case Encoding:
		return s.encoding
	}
	return s.domain
}

// sameTransform says whether two rules do the same to the same fields, of which only one may.
func sameTransform(a, b *schema.Rule) bool {
	return len(a.Tags) > 0 && kindOf(a) == Transform && kindOf(b) == Transform && modeOf(a) == modeOf(b) && a.Type == b.Type &&
		!b.Disabled && slices.Equal(slices.Sorted(slices.Values(a.Tags)), slices.Sorted(slices.Values(b.Tags)))
}

func kindOf(r *schema.Rule) string {
	if r.Kind == "" {
		return Transform
	}
	return strings.ToUpper(r.Kind)
}

func modeOf(r *schema.Rule) Mode {
	if r.Mode == "" {
		return WriteRead
	}
	return Mode(strings.ToUpper(r.Mode))
}

// covers says whether a rule with this mode runs when m is being done.
func (mode Mode) covers(m Mode) bool {
	switch mode {
	case WriteRead:
		return m == Write || m == Read
	case UpDown:
		return m == Upgrade || m == Downgrade
	}
	return mode == m
}

// up says whether m is the first of its pair, which comes first in a pair of actions and runs rules in their order.
func (mode Mode) up() bool { return mode == Write || mode == Upgrade }
