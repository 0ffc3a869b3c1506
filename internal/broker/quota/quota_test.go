package quota

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/weir-stream/weir/internal/kafka"
)

var start = time.Unix(1_700_000_000, 0)

// sets makes entries from text forms of entities.
func sets(t testing.TB, quotas map[string]Quotas) []Entry {
	t.Helper()
	var out []Entry
	for text, q := range quotas {
		e, err := ParseEntity(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Entry{e, q})
	}
	return out
}

func TestTheMostSpecialQuotaCounts(t *testing.T) {
	t.Parallel()
	order := []struct {
		entity string
		sharer Client
	}{
		{"user=u&client-id=c", Client{"u", "c"}},
		{"user=u&client-id", Client{"u", "c"}},
		{"user=u", Client{"u", ""}},
		{"user&client-id=c", Client{"u", "c"}},
		{"user&client-id", Client{"u", "c"}},
		{"user", Client{"u", ""}},
		{"client-id=c", Client{"", "c"}},
		{"client-id", Client{"", "c"}},
	}
	quotas := map[string]Quotas{"user=other": {ProducerByteRate: 99}, "user=u&client-id=x": {ProducerByteRate: 98}, "ip": {ConnectionCreationRate: 97}}
	for i, o := range slices.Backward(order) {
		quotas[o.entity] = Quotas{ProducerByteRate: float64(i + 1)}
		limit, sharer, ok := newTable(sets(t, quotas)).byKind[Produce].find(Client{"u", "c"})
		if !ok || limit != float64(i+1) || sharer != o.sharer {
			t.Errorf("with %s and what is less special: limit %v of %v, %t", o.entity, limit, sharer, ok)
		}
	}
	if _, _, ok := newTable(sets(t, quotas)).byKind[Fetch].find(Client{"u", "c"}); ok {
		t.Error("a quota of one kind counted for another")
	}
}

func TestWithoutAQuotaNothingIsHeldBack(t *testing.T) {
	t.Parallel()
	m := New(nil)
	for range 100 {
		if d := m.Record(Produce, Client{"u", "c"}, 1e12, start); d != 0 {
			t.Fatalf("held for %s", d)
		}
	}
	if n := m.FetchBytes(Client{"u", "c"}); n != math.MaxInt64 {
		t.Errorf("a fetch may have %d bytes", n)
	}
	if d := m.Connect("10.0.0.1", start); d != 0 {
		t.Errorf("a connection is held for %s", d)
	}
	if len(m.rates) != 0 {
		t.Errorf("%d rates are kept", len(m.rates))
	}
}

func TestWhatAllWindowsHoldMayComeAtOnce(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"user=u": {ProducerByteRate: 100}}))
	if d := m.Record(Produce, Client{"u", "a"}, 1000, start); d != 0 {
		t.Errorf("10 s worth of bytes are held for %s", d)
	}
	if d := m.Record(Produce, Client{"u", "b"}, 200, start); d != 2*time.Second {
		t.Errorf("2 s worth more, of another client of the user, are held for %s", d)
	}
	if d := m.Record(Produce, Client{"v", "a"}, 1e6, start); d != 0 {
		t.Errorf("another user is held for %s", d)
	}
	// What was in the first windows is forgotten with them.
	if d := m.Record(Produce, Client{"u", "a"}, 1000, start.Add(11*time.Second)); d != 0 {
		t.Errorf("after all windows: held for %s", d)
	}
}

// TestAClientThatWaitsIsHeldToItsQuota produces as fast as it may for a long time, with bursts and pauses of any size.
func TestAClientThatWaitsIsHeldToItsQuota(t *testing.T) {
	t.Parallel()
	const limit = 1000.0
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := New(nil)
		m.Load(sets(t, map[string]Quotas{"client-id": {ConsumerByteRate: limit}}))
		now, sent := start, 0.0
		for now.Sub(start) < 10*time.Minute {
			n := float64(r.IntN(5000))
			sent += n
			now = now.Add(m.Record(Fetch, Client{"u", "c"}, n, now)).Add(time.Duration(r.IntN(200)) * time.Millisecond)
		}
		rate := sent / now.Sub(start).Seconds()
		if rate > 1.25*limit || rate < 0.8*limit {
			t.Errorf("seed %d: %f bytes/s with a quota of %f", seed, rate, limit)
		}
	}
}

func TestRefundedBytesDoNotCount(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"client-id": {ConsumerByteRate: 10}}))
	if d := m.Record(Fetch, Client{"u", "c"}, 150, start); d != 5*time.Second {
		t.Errorf("held for %s", d)
	}
	m.Refund(Fetch, Client{"u", "c"}, 150, start)
	if d := m.Record(Fetch, Client{"u", "c"}, 100, start); d != 0 {
		t.Errorf("held for %s for what was not sent", d)
	}
	if n := m.FetchBytes(Client{"u", "c"}); n != 100 {
		t.Errorf("a fetch may have %d bytes, want 100", n)
	}
}

func TestTimeIsHeldForOneWindowAtMost(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"user": {RequestPercentage: 1}}))
	if d := m.Record(Request, Client{"u", "c"}, TimeOf(50*time.Millisecond), start); d != 0 {
		t.Errorf("50 ms of 100 are held for %s", d)
	}
	if d := m.Record(Request, Client{"u", "c"}, TimeOf(time.Hour), start); d != time.Second {
		t.Errorf("an hour is held for %s", d)
	}
}

func TestMutationsAreTakenWholeUntilTheBucketIsOverdrawn(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"user": {ControllerMutationRate: 2}}))
	u := Client{"u", "c"}
	// 11 windows bring 22 partitions.
	strict := m.Mutations(u, true)
	if err := strict.Take(30, start); err != nil || strict.Throttle() != 0 {
		t.Errorf("a burst: %v, throttle %s", err, strict.Throttle())
	}
	if err := strict.Take(1, start); !errors.Is(err, kafka.ThrottlingQuotaExceeded) || strict.Throttle() != 4*time.Second {
		t.Errorf("one more: %v, throttle %s", err, strict.Throttle())
	}
	lenient := m.Mutations(u, false)
	if err := lenient.Take(2, start); err != nil || lenient.Throttle() != 5*time.Second {
		t.Errorf("an old client: %v, throttle %s", err, lenient.Throttle())
	}
	if err := m.Mutations(u, true).Take(1, start.Add(4*time.Second)); err == nil {
		t.Error("taken before the bucket was level")
	}
	if err := m.Mutations(u, true).Take(1, start.Add(5*time.Second)); err != nil {
		t.Errorf("refused when the bucket was level: %v", err)
	}
	if err := m.Mutations(Client{"v", "c"}, true).Take(1, start); err != nil {
		t.Errorf("another user: %v", err)
	}
}

func TestConnectionsOfAnAddressAreHeldToItsQuota(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"ip": {ConnectionCreationRate: 1}, "ip=10.0.0.2": {ConnectionCreationRate: 2}}))
	for address, most := range map[string]int{"10.0.0.1": 10, "10.0.0.2": 20, "10.0.0.3": 10} {
		for i := range 40 {
			if d := m.Connect(address, start); (d > 0) != (i >= most) || d > time.Second {
				t.Fatalf("connection %d of %s is held for %s", i, address, d)
			}
		}
	}
}

func TestConnectionsAreAcceptedAtTheirRate(t *testing.T) {
	t.Parallel()
	m := New(nil)
	now, n := start, 0
	for ; now.Sub(start) < time.Minute; n++ {
		now = now.Add(m.Accept(5, now))
	}
	if n < 300 || n > 360 {
		t.Errorf("%d connections in a minute at 5 a second", n)
	}
	if d := m.Accept(math.MaxInt32, now); d != 0 {
		t.Errorf("without a limit: %s", d)
	}
}

func TestClientsThatMakeUpNamesDoNotFillMemory(t *testing.T) {
	t.Parallel()
	m := New(nil)
	m.Load(sets(t, map[string]Quotas{"client-id": {ProducerByteRate: 10}, "ip": {ConnectionCreationRate: 10}}))
	for i := range 2 * maxRates {
		m.Record(Produce, Client{"u", fmt.Sprint(i)}, 1, start)
	}
	m.Connect("10.0.0.1", start)
	if n := len(m.rates); n > maxRates+int(kinds)+1 {
		t.Errorf("%d rates", n)
	}
	m.Record(Produce, Client{"u", "later"}, 1, start.Add(time.Minute))
	if n := len(m.rates); n > 2 {
		t.Errorf("%d rates are left after a minute without use", n)
	}
}

func BenchmarkRecord(b *testing.B) {
	for name, quotas := range map[string]map[string]Quotas{"quota=none": nil, "quota=other": {"user=x": {ConsumerByteRate: 1}}, "quota=last": {"client-id": {ProducerByteRate: 1e15}}} {
		b.Run(name, func(b *testing.B) {
			m := New(nil)
			m.Load(sets(b, quotas))
			b.ReportAllocs()
			for b.Loop() {
				m.Record(Produce, Client{"ANONYMOUS", "producer-1"}, 1000, start)
			}
		})
	}
}
