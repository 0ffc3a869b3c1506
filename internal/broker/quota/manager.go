package quota

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// Settings of quotas. The quotas themselves are set by clients (AlterClientQuotas).
var (
	WindowCount = config.Int("quota.window.num", 11, config.AtLeast(1),
		"Windows of time over which rates of clients are counted.")
	WindowSeconds = config.Int("quota.window.size.seconds", 1, config.AtLeast(1),
		"Seconds of a window of time over which rates of clients are counted.")
	MutationWindowCount = config.Int("controller.quota.window.num", 11, config.AtLeast(1),
		"Windows of time whose mutations of topics a client may save up for a burst.")
	MutationWindowSeconds = config.Int("controller.quota.window.size.seconds", 1, config.AtLeast(1),
		"Seconds of a window of time whose mutations of topics a client may save up for a burst.")
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return []config.Declared{WindowCount, WindowSeconds, MutationWindowCount, MutationWindowSeconds}
}

// maxRates bounds the rates that are kept: beyond it new clients share one of their kind until others are idle.
const maxRates = 50_000

// Manager counts what clients do, and tells how long they have to wait. See the package comment. A nil Manager has no
// quotas, and none can be loaded.
type Manager struct {
	windows, mutationWindows windows
	table                    atomic.Pointer[table]

	mu      sync.Mutex
	rates   map[rateKey]*counter
	sweepAt int // number of rates at which idle ones are looked for
	swept   time.Time
	accepts rate
}

// rateKey names a rate: of a kind and who shares it, or of an address.
type rateKey struct {
	kind   Kind
	sharer Client
	ip     string
}

// counter is one rate with what metrics tell of it.
type counter struct {
	rate      rate
	bucket    bucket
	used      time.Time
	throttled float64 // the last throttle time in milliseconds, while its windows last
}

// New returns a manager without quotas.
func New(v *config.Values) *Manager {
	m := &Manager{
		windows:         windows{WindowCount.Get(v), time.Duration(WindowSeconds.Get(v)) * time.Second},
		mutationWindows: windows{MutationWindowCount.Get(v), time.Duration(MutationWindowSeconds.Get(v)) * time.Second},
		rates:           map[rateKey]*counter{}, sweepAt: 1024,
	}
	m.table.Store(&table{})
	return m
}

// Load puts all quotas in force; what is not in entries is no more. Rates go on.
func (m *Manager) Load(entries []Entry) { m.table.Store(newTable(entries)) }

// none is the table of a nil Manager. It is never changed.
var none = &table{}

func (m *Manager) quotas() *table {
	if m == nil {
		return none
	}
	return m.table.Load()
}

// Record counts value of a client and returns for how long it has to be held back; 0 if it is within its quota or has
// none. value is in the unit of the kind, which is not Mutation.
func (m *Manager) Record(k Kind, c Client, value float64, now time.Time) time.Duration {
	l := m.quotas().byKind[k]
	if l == nil {
		return 0
	}
	limit, sharer, ok := l.find(c)
	if !ok {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.counter(rateKey{kind: k, sharer: sharer}, now)
	r.rate.add(m.windows, value, now)
	after := r.rate.over(m.windows, limit, now)
	if k == Request {
		after = min(after, m.windows.length) // as Kafka bounds it, so that an expensive request does not stop a client for long
	}
	r.throttled = float64(after.Milliseconds())
	return after
}

// Refund takes back what Record counted, because it was not sent after all.
func (m *Manager) Refund(k Kind, c Client, value float64, now time.Time) {
	l := m.quotas().byKind[k]
	if l == nil {
		return
	}
	if _, sharer, ok := l.find(c); ok {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.counter(rateKey{kind: k, sharer: sharer}, now).rate.add(m.windows, -value, now)
	}
}

// FetchBytes is the most that an answer to a client may hold: what all of its windows may. It is math.MaxInt64 without a
// quota.
func (m *Manager) FetchBytes(c Client) int64 {
	l := m.quotas().byKind[Fetch]
	if l == nil {
		return math.MaxInt64
	}
	limit, _, ok := l.find(c)
	if !ok {
		return math.MaxInt64
	}
	most := limit * (time.Duration(m.windows.count-1) * m.windows.length).Seconds()
	if most >= math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(most)
}

// TimeOf is the value of kind Request for the time that a request took.
func TimeOf(d time.Duration) float64 { return d.Seconds() * 100 }

// HasRequest says whether there is any quota of kind Request, so that time need not be taken.
func (m *Manager) HasRequest() bool { return m.quotas().byKind[Request] != nil }

// HasMutation says whether there is any quota of kind Mutation.
func (m *Manager) HasMutation() bool { return m.quotas().byKind[Mutation] != nil }

// Connect counts a connection of an address. A positive result says that it is one too many, which is not counted: it is to be
// closed, after that time.
func (m *Manager) Connect(ip string, now time.Time) time.Duration {
	t := m.quotas()
	limit, ok := t.ip[ip]
	if !ok {
		limit = t.anyIP
	}
	if limit == 0 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.counter(rateKey{ip: ip}, now)
	r.rate.add(m.windows, 1, now)
	after := r.rate.over(m.windows, limit, now)
	if after > 0 {
		r.rate.add(m.windows, -1, now)
	}
	return min(after, m.windows.length)
}

// Accept counts a connection to this broker and returns how long to wait before the next is taken, for a limit a second.
func (m *Manager) Accept(limit int, now time.Time) time.Duration {
	if m == nil || limit >= math.MaxInt32 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.accepts.add(m.windows, 1, now)
	return min(m.accepts.over(m.windows, max(float64(limit), math.SmallestNonzeroFloat32), now), m.windows.length)
}

// counter finds or makes a counter. For who holds mu.
func (m *Manager) counter(k rateKey, now time.Time) *counter {
	r := m.rates[k]
	if r == nil {
		if len(m.rates) >= m.sweepAt && now.Sub(m.swept) >= m.windows.length {
			m.sweep(now)
		}
		if len(m.rates) >= maxRates {
			shared := rateKey{kind: k.kind}
			if k.ip != "" {
				shared.ip = "*"
			}
			k = shared
			r = m.rates[k]
		}
		if r == nil {
			r = &counter{}
			m.rates[k] = r
		}
	}
	r.used = now
	return r
}

// sweep drops rates that are back at none. For who holds mu.
func (m *Manager) sweep(now time.Time) {
	m.swept = now
	idle := max(m.windows.span(), m.mutationWindows.span())
	for k, r := range m.rates {
		// An overdrawn bucket needs longer to be full again than its windows.
		if now.Sub(r.used) > idle && (k.kind != Mutation || r.bucket.tokens >= 0 && now.Sub(r.used) > 2*idle) {
			delete(m.rates, k)
		}
	}
	m.sweepAt = min(max(1024, 2*len(m.rates)), maxRates)
}

// Mutations is what one request takes of its client's quota for mutations of topics. It belongs to that request.
type Mutations struct {
	m      *Manager
	client Client
	strict bool
	after  time.Duration
}

// Mutations returns the account of a request. A strict one, of clients that know THROTTLING_QUOTA_EXCEEDED, is
// refused what is over the quota; any other gets it and waits afterwards.
func (m *Manager) Mutations(c Client, strict bool) *Mutations {
	return &Mutations{m: m, client: c, strict: strict}
}

// Take counts n partitions that are to be made or deleted. The error is THROTTLING_QUOTA_EXCEEDED.
func (x *Mutations) Take(n int, now time.Time) error {
	m := x.m
	l := m.quotas().byKind[Mutation]
	if l == nil {
		return nil
	}
	limit, sharer, ok := l.find(x.client)
	if !ok {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.counter(rateKey{kind: Mutation, sharer: sharer}, now)
	after, ok := r.bucket.take(m.mutationWindows, limit, float64(n), x.strict, now)
	if ok {
		r.rate.add(m.mutationWindows, float64(n), now)
	}
	if !ok || !x.strict { // a strict account that got what it asked for need not wait
		x.after = max(x.after, after)
	}
	r.throttled = float64(x.after.Milliseconds())
	if !ok {
		return kafka.ThrottlingQuotaExceeded
	}
	return nil
}

// Throttle is how long the client has to be held back.
func (x *Mutations) Throttle() time.Duration { return x.after }
