package contract

import (
	"context"
	"slices"

	"github.com/weir-stream/weir/internal/platform/registry"
	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// Follower is Schemas by what a registry has read of the topic _schemas, of any registry that writes it as Confluent's does. It is a
// service.Service.
type Follower struct {
	registry *registry.Registry
	wanted   chan struct{} // one token: somebody waits; nil where somebody else runs the registry
}

// Follow asks a registry that somebody else runs: the one of the same process, whose state is not kept twice.
func Follow(r *registry.Registry) *Follower { return &Follower{registry: r} }

// NewFollower asks a registry that nobody else runs. It connects when it is first asked to catch up, so that a server without contracts
// pays nothing.
func NewFollower(r *registry.Registry) *Follower {
	return &Follower{registry: r, wanted: make(chan struct{}, 1)}
}

// ByID implements Schemas.
func (f *Follower) ByID(id int32) (Registered, bool) {
	return f.find(func(*state.State) (int, bool) { return int(id), true })
}

// ByGUID implements Schemas.
func (f *Follower) ByGUID(guid [16]byte) (Registered, bool) {
	return f.find(func(s *state.State) (int, bool) { return s.IDByGUID("", guid) })
}

// Revision implements Schemas.
func (f *Follower) Revision() int64 { return f.registry.Revision() }

// CatchUp implements Schemas.
func (f *Follower) CatchUp(ctx context.Context) error {
	if f.wanted != nil {
		select {
		case f.wanted <- struct{}{}:
		default:
		}
	}
	return f.registry.CatchUp(ctx)
}

// Run reads the topic from when somebody wants it until ctx ends, unless somebody else does.
func (f *Follower) Run(ctx context.Context, ready func()) error {
	ready()
	select {
	case <-f.wanted:
		return f.registry.Run(ctx, func() {})
	case <-ctx.Done():
		return nil
	}
}

func (f *Follower) find(look func(*state.State) (id int, ok bool)) (r Registered, ok bool) {
	f.registry.View(func(s *state.State) {
		id, found := look(s)
		versions := s.ByID("", id, state.All)
		if !found || len(versions) == 0 {
			return
		}
		c := versions[0].Content
		r, ok = Registered{
			ID: int32(id), Type: c.Type, Metadata: c.Metadata, Rules: c.RuleSet,
			Source: schema.Source{Text: c.Text.String(), References: c.References, Resolved: map[string]string{}},
		}, true
		resolve(s, versions[0].Subject, c.References, r.Source.Resolved, 0)
		for _, v := range versions { // they are sorted by subject
			if name := state.Normalize(v.Subject); !v.Deleted && !slices.Contains(r.Subjects, name) {
				r.Subjects = append(r.Subjects, name)
			}
		}
	})
	return r, ok
}

// resolve gathers the texts of references and of theirs. One that is missing is left to the parser, which names it.
func resolve(s *state.State, subject string, references []schema.Reference, into map[string]string, depth int) {
	for _, r := range references {
		if _, done := into[r.Name]; done || depth > schema.MaxDepth {
			continue
		}
		name := state.Qualify(subject, r.Subject)
		if v := s.Get(name, r.Version, state.All); v != nil {
			into[r.Name] = v.Text.String()
			resolve(s, name, v.References, into, depth+1)
		}
	}
}
