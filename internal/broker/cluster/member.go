package cluster

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/ownership"
	"github.com/weir-stream/weir/internal/broker/placement"
)

// Keys in the metadata store: docs/format/meta.md. Those of brokers and of the controller hang on leases.
const (
	brokerPrefix  = "b/"
	loadPrefix    = "load/"
	drainPrefix   = "drain/"
	assignmentKey = "assignment"
	controllerKey = "controller"
)

func brokerKey(id int32) string { return fmt.Sprintf("%s%d", brokerPrefix, id) }
func loadKey(id int32) string   { return fmt.Sprintf("%s%d", loadPrefix, id) }

// DrainKey is the key by which an operator asks a broker to give its shards away.
func DrainKey(id int32) string { return fmt.Sprintf("%s%d", drainPrefix, id) }

func parseID(key, prefix string) (int32, bool) {
	n, err := strconv.ParseInt(strings.TrimPrefix(key, prefix), 10, 32)
	return int32(n), err == nil && n >= 0
}

// record is a broker's value in the metadata store.
type record struct {
	Format      int              `json:"v"`
	Nonce       string           `json:"nonce"` // of the process: whose record it is
	Incarnation uint64           `json:"inc"`
	Rack        string           `json:"rack,omitempty"`
	Draining    bool             `json:"draining,omitempty"`
	Joined      int64            `json:"joined"` // ms since 1970
	Endpoints   []recordEndpoint `json:"endpoints,omitempty"`
	Stuck       []int32          `json:"stuck,omitempty"`
}

type recordEndpoint struct {
	Listener string `json:"name"`
	Host     string `json:"host"`
	Port     int32  `json:"port"`
}

// assignment is who is to have which shard, by the id of the shard.
type assignment struct {
	Format  int     `json:"v"`
	Brokers []int32 `json:"brokers"`
}

const format = 1

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // plain numbers and strings always encode
	}
	return b
}

// Options of a Member. Meta, Nonce and Logger are required.
type Options struct {
	Meta  meta.Store
	Nonce string // random, of this process
	// ID is the broker's id; below 0 the lowest that is free is taken.
	ID     int32
	Rack   string
	Shards int32
	// Lease is how long after its last sign of life a broker is taken for dead; 0: 5 s.
	Lease time.Duration
	// Loads returns what the broker's shards cause, averaged over a minute or so; for a shard that has just come begin with Member.Load, or it would be
	// taken for idle and attract others. Nil: nothing is known.
	Loads func() map[int32]placement.Load
	// Stuck returns the shards that the broker is to serve and cannot, ascending; it is told to the others. Nil: none ever.
	Stuck func() []int32
	// Placement returns the settings of balancing, asked for at each look; nil for the defaults.
	Placement func() placement.Settings
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger
}

// Member keeps a broker in the cluster: it holds its lease, keeps the Directory in step with the metadata store, and decides who
// owns what while it is the controller. Make it with Join.
type Member struct {
	o         Options
	directory *Directory
	lease     atomic.Pointer[leased]

	mu      sync.Mutex
	self    record
	decide  chan struct{} // asks the controller to look again
	last    atomic.Pointer[placement.Decision]
	known   atomic.Pointer[known]
	renewed atomic.Pointer[instant] // when the lease was renewed last
}

// instant is a moment on two clocks: the process's own, which nobody sets but which may rest while the machine is suspended, and the wall's,
// which goes on then and may be set.
type instant struct{ own, wall time.Time }

func (m *Member) instant() *instant { return &instant{own: time.Now(), wall: m.o.Now().Round(0)} }

type leased struct{ meta.Lease }

// ErrTaken is returned by Join if another broker with the id is alive.
var ErrTaken = errors.New("another broker with this id is alive")

// idsMax bounds the search for a free id.
const idsMax = 10_000

// Join takes an id and a lease. A broker that asks for an id by number waits until the lease of the one before it has ended.
func Join(ctx context.Context, o Options) (*Member, error) {
	o.Lease = cmp.Or(o.Lease, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Member{o: o, decide: make(chan struct{}, 1)}
	m.self = record{Format: format, Nonce: o.Nonce, Rack: o.Rack, Joined: o.Now().UnixMilli()}
	if err := m.grant(ctx); err != nil {
		return nil, err
	}
	m.renewed.Store(m.instant())
	if o.ID >= 0 {
		if err := m.waitForID(ctx); err != nil {
			return nil, err
		}
		m.directory = NewDirectory(m.o.ID)
		return m, nil
	}
	for id := int32(1); id < idsMax; id++ {
		taken, err := m.claim(ctx, id)
		if err != nil {
			return nil, err
		}
		if taken {
			m.o.ID, m.directory = id, NewDirectory(id)
			return m, nil
		}
	}
	return nil, fmt.Errorf("no broker id below %d is free", idsMax)
}

func (m *Member) grant(ctx context.Context) error {
	l, err := m.o.Meta.Grant(ctx, m.o.Lease)
	if err != nil {
		return fmt.Errorf("join the cluster: %w", err)
	}
	m.lease.Store(&leased{l})
	return nil
}

// claim makes the key of a broker. It reports false if there is one already.
func (m *Member) claim(ctx context.Context, id int32) (bool, error) {
	m.mu.Lock()
	value := encode(m.self)
	m.mu.Unlock()
	key := brokerKey(id)
	r, err := m.o.Meta.Txn(ctx, []meta.Compare{{Key: key}}, []meta.Op{{Kind: meta.Put, Key: key, Value: value, Lease: m.lease.Load().ID()}})
	if err != nil {
		return false, fmt.Errorf("take broker id %d: %w", id, err)
	}
	return r.Succeeded, nil
}

func (m *Member) waitForID(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*m.o.Lease+time.Second, ErrTaken)
	defer cancel()
	for {
		taken, err := m.claim(ctx, m.o.ID)
		if taken {
			return nil
		}
		if err == nil {
			err = m.lease.Load().KeepAlive(ctx)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("take broker id %d: %w", m.o.ID, context.Cause(ctx))
		}
	}
}

// ID is the broker's id.
func (m *Member) ID() int32 { return m.o.ID }

// Directory is kept in step with the metadata store while Run runs.
func (m *Member) Directory() *Directory { return m.directory }

// Announce makes a new incarnation of this broker known.
func (m *Member) Announce(ctx context.Context, incarnation uint64) error {
	return m.change(ctx, func(r *record) { r.Incarnation = incarnation })
}

// SetEndpoints makes known where clients reach this broker. Before that it is given no shard.
func (m *Member) SetEndpoints(ctx context.Context, endpoints []Endpoint) error {
	return m.change(ctx, func(r *record) {
		r.Endpoints = nil
		for _, e := range endpoints {
			r.Endpoints = append(r.Endpoints, recordEndpoint(e))
		}
	})
}

// Drain asks for this broker's shards to be given to others, and returns when others have all that it had, or ctx ends.
func (m *Member) Drain(ctx context.Context) error {
	had := map[int32]bool{}
	if err := m.change(ctx, func(r *record) { r.Draining = true }); err != nil {
		return err
	}
	for {
		changed, v := m.directory.Changed(), m.directory.View()
		left := 0
		for id, s := range v.Shards {
			had[int32(id)] = had[int32(id)] || s.Broker == v.Self
			if had[int32(id)] && (s.Broker == v.Self || s.Broker == Nobody) { // released is not enough: until it is taken clients have nobody to go to
				left++
			}
		}
		if left == 0 || !slices.ContainsFunc(v.Brokers, func(b Broker) bool { return b.ID != v.Self && b.serves() && !b.Draining }) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Leave takes this broker out of what the others tell clients, though it goes on to serve whoever comes, and returns when it has heard of that itself.
// It is for a broker that has nothing any more: see Drain.
func (m *Member) Leave(ctx context.Context) error {
	if err := m.SetEndpoints(ctx, nil); err != nil {
		return err
	}
	for {
		changed, v := m.directory.Changed(), m.directory.View()
		if b, ok := v.Broker(v.Self); !ok || len(b.Endpoints) == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// change changes the broker's record and writes it.
func (m *Member) change(ctx context.Context, f func(*record)) error {
	m.mu.Lock()
	f(&m.self)
	m.mu.Unlock()
	return m.write(ctx)
}

// write puts the broker's record, whatever is there, unless it is another process's.
func (m *Member) write(ctx context.Context) error {
	key := brokerKey(m.o.ID)
	for {
		e, err := m.o.Meta.Get(ctx, key)
		if err != nil && !errors.Is(err, meta.ErrNotFound) {
			return fmt.Errorf("read broker %d: %w", m.o.ID, err)
		}
		if err == nil {
			var there record
			if err := json.Unmarshal(e.Value, &there); err != nil {
				return fmt.Errorf("metadata key %s: %w", key, err)
			}
			if there.Nonce != m.o.Nonce {
				return fmt.Errorf("broker %d: %w", m.o.ID, ErrTaken)
			}
		}
		m.mu.Lock()
		value := encode(m.self)
		m.mu.Unlock()
		r, err := m.o.Meta.Txn(ctx, []meta.Compare{{Key: key, Revision: e.Revision}}, []meta.Op{{Kind: meta.Put, Key: key, Value: value, Lease: m.lease.Load().ID()}})
		if err != nil {
			return fmt.Errorf("write broker %d: %w", m.o.ID, err)
		}
		if r.Succeeded {
			return nil
		}
	}
}

// Alone reports for how long the lease has not been renewed: past the lease's time others may take this broker for dead. It is what the clock says by which more time
// has passed, so that a clock that is set back hides nothing; one that is set forward makes the broker unsure until the next renewal.
func (m *Member) Alone() time.Duration {
	last, now := m.renewed.Load(), m.instant()
	return max(now.own.Sub(last.own), now.wall.Sub(last.wall))
}

// Lease is how long after its last sign of life a broker is taken for dead.
func (m *Member) Lease() time.Duration { return m.o.Lease }

// Run keeps the lease and the directory until ctx ends. It calls ready when the directory holds what the metadata store knows. It
// ends with an error only if another process has taken the broker's id.
func (m *Member) Run(ctx context.Context, ready func()) error {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancelCause(ctx)
	running.Go(func() { m.keepLease(ctx, cancel) })
	running.Go(func() { m.follow(ctx, ready) })
	running.Go(func() { m.control(ctx) })
	running.Go(func() { m.reportLoads(ctx) })
	running.Wait()
	last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	if err := m.lease.Load().Revoke(last); err != nil {
		m.o.Logger.Warn("lease not given back, the broker counts as alive until it ends", "err", err)
	}
	if err := context.Cause(ctx); errors.Is(err, ErrTaken) {
		return err
	}
	return nil
}

// keepLease renews the lease, or gets another if it has ended, and writes the broker's record then.
func (m *Member) keepLease(ctx context.Context, end context.CancelCauseFunc) {
	tick := time.NewTicker(m.o.Lease / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := m.renew(ctx)
		switch {
		case errors.Is(err, ErrTaken):
			m.o.Logger.Error("another process has taken this broker's id", "broker", m.o.ID)
			end(err)
			return
		case err != nil && ctx.Err() == nil:
			m.o.Logger.Warn("lease not renewed", "err", err)
		case err == nil:
			m.tellStuck(ctx)
		}
	}
}

// tellStuck tells the others which shards this broker cannot serve, if that has changed.
func (m *Member) tellStuck(ctx context.Context) {
	if m.o.Stuck == nil {
		return
	}
	stuck := m.o.Stuck()
	m.mu.Lock()
	same := slices.Equal(stuck, m.self.Stuck)
	m.mu.Unlock()
	if same {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.o.Lease/4)
	defer cancel()
	if err := m.change(ctx, func(r *record) { r.Stuck = stuck }); err != nil && ctx.Err() == nil {
		m.o.Logger.Warn("which shards cannot be served was not told", "err", err)
	}
}

// renew renews the lease. One that had ended, and a record that others have deleted, are made anew, but do not count as renewed before the next time: others may
// have taken this broker's shards meanwhile, which it hears of by its watches, and it must not answer for them as if nothing had happened (see Alone).
func (m *Member) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.o.Lease)
	defer cancel()
	at := m.instant() // before it is asked for
	err := m.lease.Load().KeepAlive(ctx)
	switch {
	case errors.Is(err, meta.ErrLeaseNotFound):
		m.o.Logger.Warn("the lease has ended, taking another")
		if err := m.grant(ctx); err != nil {
			return err
		}
		return m.write(ctx)
	case err != nil:
		return err
	case m.known.Load() != nil && !m.Named():
		m.o.Logger.Warn("others took this broker for dead, which it is not: it comes back")
		return m.write(ctx)
	}
	m.renewed.Store(at)
	return nil
}

// reportInterval is how often a broker tells what its shards cause.
const reportInterval = 10 * time.Second

func (m *Member) reportLoads(ctx context.Context) {
	if m.o.Loads == nil {
		return
	}
	tick := time.NewTicker(reportInterval)
	defer tick.Stop()
	var before []byte
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		value := encode(m.o.Loads())
		if bytes.Equal(value, before) {
			continue
		}
		_, err := m.o.Meta.Txn(ctx, nil, []meta.Op{{Kind: meta.Put, Key: loadKey(m.o.ID), Value: value, Lease: m.lease.Load().ID()}})
		if err != nil {
			m.o.Logger.Debug("loads of shards not written", "err", err)
			continue
		}
		before = value
	}
}

// state is what follow gathers from the metadata store.
type state struct {
	records    map[int32]record
	drains     map[int32]bool
	loads      map[int32]map[int32]placement.Load // by broker, shard
	pointers   map[int32]Ownership                // Broker is not known yet
	assigned   assignment
	controller int32
	revisions  map[string]int64
}

func newState() *state {
	return &state{records: map[int32]record{}, drains: map[int32]bool{}, loads: map[int32]map[int32]placement.Load{}, pointers: map[int32]Ownership{}, controller: Nobody, revisions: map[string]int64{}}
}

// prefixes are what follow watches.
var prefixes = []string{brokerPrefix, ownership.ShardPrefix, loadPrefix, drainPrefix, assignmentKey, controllerKey}

// follow publishes a view for every change, until ctx ends. A watch that breaks is begun anew, from what is there then.
func (m *Member) follow(ctx context.Context, ready func()) {
	var once sync.Once
	for ctx.Err() == nil {
		if err := m.followOnce(ctx, func() { once.Do(ready) }); err != nil && ctx.Err() == nil {
			m.o.Logger.Warn("the cluster is not watched, trying again", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(500 * time.Millisecond):
			}
		}
	}
}

func (m *Member) followOnce(ctx context.Context, ready func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := make(chan meta.Event)
	broken := make(chan struct{}, len(prefixes))
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	for _, p := range prefixes {
		w, err := m.o.Meta.Watch(ctx, p, 0)
		if err != nil {
			return fmt.Errorf("watch %s: %w", p, err)
		}
		watching.Go(func() {
			for e := range w {
				select {
				case events <- e:
				case <-ctx.Done():
				}
			}
			broken <- struct{}{}
		})
	}
	st := newState()
	for _, p := range prefixes {
		entries, err := m.o.Meta.Range(ctx, p, "", 0)
		if err != nil {
			return fmt.Errorf("read %s: %w", p, err)
		}
		for _, e := range entries {
			if err := st.apply(meta.Event{Kind: meta.Put, Entry: e}); err != nil {
				return err
			}
		}
	}
	m.publish(st)
	ready()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-broken:
			return nil
		case e := <-events:
			if err := st.apply(e); err != nil {
				return err
			}
		}
		for more := true; more; { // what comes together makes one view
			select {
			case e := <-events:
				if err := st.apply(e); err != nil {
					return err
				}
			default:
				more = false
			}
		}
		m.publish(st)
	}
}

// apply takes an event over, unless something newer is known of its key.
func (s *state) apply(e meta.Event) error {
	if e.Revision <= s.revisions[e.Key] {
		return nil
	}
	s.revisions[e.Key] = e.Revision
	put := e.Kind == meta.Put
	if !put {
		e.Value = nil
	}
	decode := func(v any) error {
		if !put {
			return nil
		}
		if err := json.Unmarshal(e.Value, v); err != nil {
			return fmt.Errorf("metadata key %s: %w", e.Key, err)
		}
		return nil
	}
	switch {
	case e.Key == assignmentKey:
		s.assigned = assignment{}
		return decode(&s.assigned)
	case e.Key == controllerKey:
		s.controller = Nobody
		return decode(&s.controller)
	case strings.HasPrefix(e.Key, brokerPrefix):
		return applyTo(s.records, e.Key, brokerPrefix, put, decode)
	case strings.HasPrefix(e.Key, loadPrefix):
		return applyTo(s.loads, e.Key, loadPrefix, put, decode)
	case strings.HasPrefix(e.Key, drainPrefix):
		if id, ok := parseID(e.Key, drainPrefix); ok && put {
			s.drains[id] = true
		} else {
			delete(s.drains, id)
		}
	case strings.HasPrefix(e.Key, ownership.ShardPrefix):
		id, ok := ownership.ParseShardKey(e.Key)
		if !ok {
			return nil
		}
		if !put {
			delete(s.pointers, id)
			return nil
		}
		p, err := ownership.DecodePointer(e.Entry)
		if err != nil {
			return err
		}
		s.pointers[id] = Ownership{Broker: Nobody, Epoch: p.Epoch, Incarnation: p.Owner, Revision: e.Revision}
	}
	return nil
}

func applyTo[V any](to map[int32]V, key, prefix string, put bool, decode func(any) error) error {
	id, ok := parseID(key, prefix)
	if !ok {
		return nil
	}
	if !put {
		delete(to, id)
		return nil
	}
	var v V
	if err := decode(&v); err != nil {
		return err
	}
	to[id] = v
	return nil
}

// view returns what the state says.
func (s *state) view(self, shards int32) *View {
	v := &View{Self: self, Controller: s.controller, Assigned: slices.Clone(s.assigned.Brokers)}
	owners := map[uint64]int32{}
	for _, id := range slices.Sorted(maps.Keys(s.records)) {
		r := s.records[id]
		b := Broker{ID: id, Rack: r.Rack, Incarnation: r.Incarnation, Process: r.Nonce, Draining: r.Draining || s.drains[id], Stuck: r.Stuck}
		for _, e := range r.Endpoints {
			b.Endpoints = append(b.Endpoints, Endpoint(e))
		}
		v.Brokers = append(v.Brokers, b)
		if r.Incarnation > 0 {
			owners[r.Incarnation] = id
		}
	}
	for id := range shards {
		o, ok := s.pointers[id]
		if !ok {
			o = Ownership{Epoch: -1}
		}
		o.Broker = Nobody
		if b, ok := owners[o.Incarnation]; ok {
			o.Broker = b
		}
		v.Shards = append(v.Shards, o)
	}
	return v
}

// Load returns what a shard was said to cause last, by whoever had it then.
func (m *Member) Load(shard int32) placement.Load {
	k := m.known.Load()
	if k == nil {
		return placement.Load{}
	}
	return k.loads[shard]
}

// joining says when a broker came. One that came later than it is now has a clock that is ahead of this one, and came when it was seen first.
func (m *Member) joining(id int32, r *record) joining {
	j, now := joining{process: r.Nonce, at: time.UnixMilli(r.Joined)}, m.o.Now()
	if !j.at.After(now) {
		return j
	}
	j.at = now
	if k := m.known.Load(); k != nil && k.joined[id].process == r.Nonce && k.joined[id].at.Before(now) {
		j.at = k.joined[id].at
	}
	return j
}

// publish makes a view of what is known. It is called by one goroutine.
func (m *Member) publish(s *state) {
	v := s.view(m.o.ID, m.o.Shards)
	loads := map[int32]placement.Load{}
	if k := m.known.Load(); k != nil {
		maps.Copy(loads, k.loads) // until its new owner has told, a shard makes what it made for the one before
	}
	for b, told := range s.loads {
		for id, l := range told {
			if v.Owner(id).Broker == b {
				loads[id] = l
			}
		}
	}
	joined := map[int32]joining{}
	for id, r := range s.records {
		joined[id] = m.joining(id, &r)
	}
	drains := slices.Sorted(maps.Keys(s.drains))
	m.known.Store(&known{loads: loads, joined: joined, drains: drains, assignmentRevision: s.revisions[assignmentKey], controllerRevision: s.revisions[controllerKey], selfRevision: s.revisions[brokerKey(m.o.ID)]})
	m.directory.Publish(v)
	select {
	case m.decide <- struct{}{}:
	default:
	}
}
