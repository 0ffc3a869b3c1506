// Package cluster tells which brokers there are and which of them owns which shard.
//
//	metadata store ── b/<broker>, s/<shard> ──> Directory ── View ──> handlers, coordinators, storage
//
// A View is an immutable snapshot; a Directory holds the newest one. In the embedded profile there is one broker, which owns
// every shard, and its Directory is published once. In a cluster a Member keeps it in step with the metadata store.
//
// What a View says may be old by the time it is read. Safety never rests on it: who answers for a shard is decided by
// storage, which knows what it owns and is fenced if it is wrong. A View only says whom to ask.
//
// Any goroutine may call the methods of a Directory. The package imports nothing of storage and nothing of the protocol.
package cluster

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// Nobody is the broker id of a shard without owner.
const Nobody int32 = -1

// Endpoint is where a broker can be reached by clients of one listener.
type Endpoint struct {
	Listener string
	Host     string
	Port     int32
}

// Broker is a broker that is alive as far as its lease tells.
type Broker struct {
	ID   int32
	Rack string // "" if it is in none
	// Incarnation is the broker's life: it changes with every start.
	Incarnation uint64
	// Process tells one process under this id from the next; "" where there are no others.
	Process   string
	Endpoints []Endpoint // one for each listener, in the order of the settings
	// Draining says that the broker gives its shards away and takes no others.
	Draining bool
	// Stuck are the shards that the broker was given and could not take or load when it tried last, ascending.
	Stuck []int32
}

// Endpoint returns where the broker is reached by clients of a listener.
func (b *Broker) Endpoint(listener string) (Endpoint, bool) {
	for _, e := range b.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return Endpoint{}, false
}

// serves reports whether the broker can be given shards.
func (b *Broker) serves() bool { return b.Incarnation > 0 && len(b.Endpoints) > 0 }

// Ownership says who has a shard. Epoch is the shard's epoch, which is the leader epoch of its partitions; it rises with each
// owner. Broker is Nobody while a shard has no live owner.
type Ownership struct {
	Broker int32
	Epoch  int32
	// Incarnation is the one that the shard's pointer names, dead or alive; 0 if it was released or never owned. Revision is that
	// of the pointer in the metadata store.
	Incarnation uint64
	Revision    int64
}

// Leaves says that the broker has given everything away and is about to end: nobody is sent to it any more.
func (b *Broker) Leaves() bool { return b.Draining && len(b.Endpoints) == 0 }

// View is the cluster at one moment. It must not be changed once it is published.
type View struct {
	Self       int32    // this broker's id
	Controller int32    // the broker that decides who owns what; Nobody while that is not known
	Brokers    []Broker // ascending by id
	Shards     []Ownership
	// Assigned is, for each shard, the broker that is to have it; Nobody if none is.
	Assigned []int32
}

// Wanted returns the broker that is to have a shard.
func (v *View) Wanted(shard int32) int32 {
	if shard < 0 || int(shard) >= len(v.Assigned) {
		return Nobody
	}
	return v.Assigned[shard]
}

// Alive reports whether an incarnation is that of a live broker, as far as leases tell.
func (v *View) Alive(incarnation uint64) bool {
	for i := range v.Brokers {
		if v.Brokers[i].Incarnation == incarnation {
			return true
		}
	}
	return false
}

// Broker returns a broker by its id.
func (v *View) Broker(id int32) (*Broker, bool) {
	i, ok := slices.BinarySearchFunc(v.Brokers, id, func(b Broker, id int32) int { return cmp.Compare(b.ID, id) })
	if !ok {
		return nil, false
	}
	return &v.Brokers[i], true
}

// Owner returns who has a shard: Nobody, with epoch -1, for one that the view does not know.
func (v *View) Owner(shard int32) Ownership {
	if shard < 0 || int(shard) >= len(v.Shards) {
		return Ownership{Broker: Nobody, Epoch: -1}
	}
	return v.Shards[shard]
}

// Leader returns whom clients are to ask for the partitions of a shard: its owner or, while nobody alive has it, the broker that is to
// have it. That one refuses in a way that makes every client try again, until it has loaded the shard; that there is no leader
// at all many clients take for an error. The epoch stays that of the owner before.
func (v *View) Leader(shard int32) Ownership {
	o := v.Owner(shard)
	if o.Broker != Nobody || o.Epoch < 0 {
		return o
	}
	if b, ok := v.Broker(v.Wanted(shard)); ok && b.serves() && !b.Draining {
		o.Broker = b.ID
	}
	return o
}

// Local reports whether this broker owns a shard.
func (v *View) Local(shard int32) bool { return v.Owner(shard).Broker == v.Self }

// Directory holds the newest View.
type Directory struct {
	view atomic.Pointer[View]

	mu        sync.Mutex
	changed   chan struct{} // closed at the next change
	listeners []func(before, after *View)
}

// NewDirectory returns a directory that knows nobody but the broker itself, and no owner.
func NewDirectory(self int32) *Directory {
	d := &Directory{changed: make(chan struct{})}
	d.view.Store(&View{Self: self, Controller: Nobody})
	return d
}

// View returns the newest view, never nil.
func (d *Directory) View() *View { return d.view.Load() }

// Changed is closed at the next change after the call.
func (d *Directory) Changed() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.changed
}

// OnChange registers f, before the directory is used. f is called with every new view, in order, by the goroutine that publishes
// it. It must not publish, nor take long.
func (d *Directory) OnChange(f func(before, after *View)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listeners = append(d.listeners, f)
}

// Publish makes v the newest view. It is called by one goroutine at a time.
func (d *Directory) Publish(v *View) {
	d.mu.Lock()
	listeners := d.listeners
	before := d.view.Swap(v)
	close(d.changed)
	d.changed = make(chan struct{})
	d.mu.Unlock()
	for _, f := range listeners {
		f(before, v)
	}
}
