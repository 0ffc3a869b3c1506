package placement

import (
	"cmp"
	"math"
	"time"
)

// None stands for the owner of a shard that has none.
const None int32 = -1

// Load is what something causes, in rates that were smoothed over a minute or more. What is negative or no number counts as 0.
type Load struct {
	BytesInPerSecond  float64 // written by clients
	BytesOutPerSecond float64 // read by clients
	RequestsPerSecond float64 // of all kinds
	Partitions        int32
}

// Broker is a living broker.
type Broker struct {
	ID   int32
	Rack string // "" is a rack like any other
	// Draining says that the broker is to be emptied.
	Draining bool
	// Joined is when this life of the broker began; zero is long ago. See Settings.Settle.
	Joined time.Time
	// Capacity is what the broker can do, relative to Settings.Full; 0 means 1.
	Capacity float64
	// Base is what the broker does that no shard of its own causes, like reads of other brokers' shards. It cannot be moved away.
	Base Load
}

// Shard is a shard and its owner.
type Shard struct {
	ID int32
	// Owner is the broker that owns it or, if Moving, that it is on its way to. A broker that is not in the snapshot is
	// dead: the shard is an orphan, moving or not. None is an orphan too.
	Owner int32
	// Moving says that a move is under way. It counts against Settings.MaxMoves, and no other is decided before it ends.
	Moving bool
	// MovedAt is when the shard came to Owner; zero is long ago. See Settings.Cooldown.
	MovedAt time.Time
	Load    Load
}

// Snapshot is what a decision is made from. Ids must be unique; the order means nothing.
type Snapshot struct {
	Now     time.Time
	Brokers []Broker // those alive, draining or not
	Shards  []Shard  // all
}

// Settings bound what balancing does. The zero value means the defaults.
type Settings struct {
	// Full is what fills a broker of capacity 1, each of its fields alone. Only ratios between fields matter for who gets
	// what. Default for fields that are 0: 100 MB/s in, 200 MB/s out, 50,000 requests/s, 100,000 partitions.
	Full Load
	// Tolerance is how far a broker's use may be from the target before anything moves, as a share of the target.
	// Default 0.1.
	Tolerance float64
	// MaxMoves is how many moves may be under way at once, apart from orphans. Default 16.
	MaxMoves int
	// Cooldown is how long a shard stays where it came before balancing moves it again. Drains do not wait.
	// Default 5 minutes; below 0 none.
	Cooldown time.Duration
	// Settle is how long a broker must have been alive before balancing counts with it. Orphans and drains do not wait.
	// Default 30 seconds; below 0 none.
	Settle time.Duration
}

// shardUse is the use of an idle shard: checkpoints, manifests, a section in every flush.
const shardUse = 0.001

// mostUse bounds the use by one rate, so that a nonsensical measurement stays a finite number.
const mostUse = 1e6

func (s Settings) withDefaults() Settings {
	s.Full.BytesInPerSecond = positive(s.Full.BytesInPerSecond, 100e6)
	s.Full.BytesOutPerSecond = positive(s.Full.BytesOutPerSecond, 200e6)
	s.Full.RequestsPerSecond = positive(s.Full.RequestsPerSecond, 50_000)
	s.Full.Partitions = max(cmp.Or(s.Full.Partitions, 100_000), 1)
	s.Tolerance = positive(s.Tolerance, 0.1)
	s.MaxMoves = max(cmp.Or(s.MaxMoves, 16), 0)
	s.Cooldown = max(cmp.Or(s.Cooldown, 5*time.Minute), 0)
	s.Settle = max(cmp.Or(s.Settle, 30*time.Second), 0)
	return s
}

// positive returns v, or a default if v is nothing to divide by.
func positive(v, otherwise float64) float64 {
	if v > 0 && !math.IsInf(v, 0) {
		return v
	}
	return otherwise
}

// use is what share of a full broker a load takes. s must have its defaults.
func (s *Settings) use(l Load) float64 {
	share := func(v, full float64) float64 {
		if !(v > 0) { // also what is no number
			return 0
		}
		return min(v/full, mostUse)
	}
	return share(l.BytesInPerSecond, s.Full.BytesInPerSecond) + share(l.BytesOutPerSecond, s.Full.BytesOutPerSecond) +
		share(l.RequestsPerSecond, s.Full.RequestsPerSecond) + share(float64(l.Partitions), float64(s.Full.Partitions))
}

// Kind is why a shard moves.
type Kind uint8

// The kinds of moves, the most urgent first.
const (
	Orphan  Kind = iota // it has no living owner, and is not served until it is moved
	Drain               // its owner is to be emptied
	Balance             // its owner has too much, or its new owner too little
)

func (k Kind) String() string {
	switch k {
	case Orphan:
		return "orphan"
	case Drain:
		return "drain"
	default:
		return "balance"
	}
}

// Move is one shard's change of owner.
type Move struct {
	Shard  int32
	From   int32 // who owned it: for an orphan somebody who is not alive, or None
	To     int32
	Kind   Kind
	Reason string // a sentence for people, without a full stop
}

// Urgent says that the shard is not served until it is moved.
func (m Move) Urgent() bool { return m.Kind == Orphan }

// Assign decides only who gets the shards that have no living owner. Decide decides the same for them, and more.
func Assign(s Snapshot, settings Settings) []Move {
	p := newPlan(s, settings)
	p.assign()
	return p.moves
}

// Decide decides what should move now. It takes a millisecond for 100 brokers with 2,048 shards, and
// six if all of these are orphans.
func Decide(s Snapshot, settings Settings) Decision {
	p := newPlan(s, settings)
	d := p.before()
	p.assign()
	p.drain()
	why := p.balance()
	p.after(&d, why)
	return d
}
