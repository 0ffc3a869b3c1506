package placement

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

// brokers makes n brokers with ids from 1 on, in racks a, b and so on in turn.
func brokers(n, racks int) []Broker {
	var all []Broker
	for i := range n {
		all = append(all, Broker{ID: int32(i + 1), Rack: string(rune('a' + i%racks))})
	}
	return all
}

// shards makes n orphans with a load of bytes.
func shards(n int, bytesIn func(i int) float64) []Shard {
	var all []Shard
	for i := range n {
		all = append(all, Shard{ID: int32(i), Owner: None, Load: Load{BytesInPerSecond: bytesIn(i)}})
	}
	return all
}

func idle(int) float64 { return 0 }

// apply makes the moves as a controller would, at once.
func apply(s *Snapshot, moves []Move) {
	for _, m := range moves {
		for i := range s.Shards {
			if s.Shards[i].ID == m.Shard {
				s.Shards[i].Owner, s.Shards[i].MovedAt, s.Shards[i].Moving = m.To, s.Now, false
			}
		}
	}
}

// settle decides and applies until nothing moves, and returns how many moves and rounds that took.
func settle(t interface {
	Helper()
	Fatalf(string, ...any)
}, s *Snapshot, set Settings, mostRounds int,
) (moves []Move, rounds int) {
	t.Helper()
	for quiet := 0; quiet < 2; rounds++ {
		if rounds > mostRounds {
			t.Fatalf("still moving after %d rounds and %d moves", rounds, len(moves))
		}
		d := Decide(*s, set)
		apply(s, d.Moves)
		moves = append(moves, d.Moves...)
		s.Now = s.Now.Add(10 * time.Minute) // past every cool-down
		quiet++
		if len(d.Moves) > 0 {
			quiet = 0
		}
	}
	return moves, rounds
}

func owned(s Snapshot) map[int32]int {
	n := map[int32]int{}
	for _, b := range s.Brokers {
		n[b.ID] = 0
	}
	for _, sh := range s.Shards {
		n[sh.Owner]++
	}
	return n
}

func spread(counts map[int32]int) int {
	values := slices.Collect(maps.Values(counts))
	return slices.Max(values) - slices.Min(values)
}

func anySnapshot(t *rapid.T) Snapshot {
	s := Snapshot{Now: start}
	for i := range rapid.IntRange(0, 10).Draw(t, "brokers") {
		s.Brokers = append(s.Brokers, Broker{
			ID: int32(i * 3), Rack: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "rack"),
			Draining: rapid.IntRange(0, 4).Draw(t, "drain") == 0,
			Joined:   rapid.SampledFrom([]time.Time{{}, start.Add(-time.Second), start.Add(-time.Hour)}).Draw(t, "joined"),
			Capacity: rapid.SampledFrom([]float64{0, 1, 2, 0.5, -1, math.NaN()}).Draw(t, "capacity"),
			Base:     Load{RequestsPerSecond: rapid.SampledFrom([]float64{0, 100, 20_000, math.Inf(1)}).Draw(t, "base")},
		})
	}
	for i := range rapid.IntRange(0, 80).Draw(t, "shards") {
		s.Shards = append(s.Shards, Shard{
			ID: int32(i), Owner: int32(rapid.IntRange(-1, 32).Draw(t, "owner")), Moving: rapid.IntRange(0, 9).Draw(t, "moving") == 0,
			MovedAt: rapid.SampledFrom([]time.Time{{}, start.Add(-time.Second), start.Add(-time.Hour)}).Draw(t, "moved"),
			Load:    Load{BytesInPerSecond: rapid.SampledFrom([]float64{0, 1e3, 1e6, 5e6, 3e7, 4e7, 1e9, -5, math.NaN()}).Draw(t, "bytes"), Partitions: rapid.Int32Range(-1, 1000).Draw(t, "partitions")},
		})
	}
	return s
}

func TestDecisionsKeepTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anySnapshot(t)
		set := Settings{MaxMoves: rapid.IntRange(1, 20).Draw(t, "most")}
		d := Decide(s, set)
		alive, open := map[int32]bool{}, map[int32]bool{}
		for _, b := range s.Brokers {
			alive[b.ID], open[b.ID] = true, !b.Draining
		}
		takers := slices.Contains(slices.Collect(maps.Values(open)), true)
		bounded, seen := 0, map[int32]bool{}
		for i, m := range d.Moves {
			sh := s.Shards[m.Shard]
			if seen[m.Shard] || m.From != sh.Owner || m.To == m.From || !open[m.To] || m.Reason == "" {
				t.Fatalf("move %+v of %+v: twice %v, taker open %v", m, sh, seen[m.Shard], open[m.To])
			}
			seen[m.Shard] = true
			if i > 0 && d.Moves[i-1].Kind > m.Kind {
				t.Fatalf("move %+v comes after %+v", m, d.Moves[i-1])
			}
			if m.Urgent() != !alive[sh.Owner] {
				t.Fatalf("move %+v is urgent: %v, owner lives: %v", m, m.Urgent(), alive[sh.Owner])
			}
			if m.Urgent() {
				continue
			}
			bounded++
			if sh.Moving || (m.Kind == Drain) != (alive[sh.Owner] && !open[sh.Owner]) || (m.Kind == Balance && s.Now.Sub(sh.MovedAt) < 5*time.Minute) {
				t.Fatalf("move %+v of %+v, whose owner drains: %v", m, sh, !open[sh.Owner])
			}
		}
		for _, sh := range s.Shards {
			if takers && !alive[sh.Owner] && !seen[sh.ID] {
				t.Fatalf("orphan %+v stays one", sh)
			}
			if sh.Moving && alive[sh.Owner] {
				bounded++
			}
		}
		if n := len(d.Moves); n > 0 && !d.Moves[n-1].Urgent() && bounded > set.MaxMoves {
			t.Fatalf("%d moves under way at once, of %d", bounded, set.MaxMoves)
		}
		if (d.Unplaced > 0) && takers || d.Why == "" || math.IsNaN(d.Target) {
			t.Fatalf("unplaced %d, why %q, target %v", d.Unplaced, d.Why, d.Target)
		}
		var urgent []Move
		for _, m := range d.Moves {
			if m.Urgent() {
				urgent = append(urgent, m)
			}
		}
		if got := Assign(s, set); !reflect.DeepEqual(got, urgent) {
			t.Fatalf("Assign %v, Decide %v", got, urgent)
		}
	})
}

func TestEqualInputGivesEqualDecisions(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anySnapshot(t)
		want := fmt.Sprintf("%+v", Decide(s, Settings{}))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		r.Shuffle(len(s.Brokers), func(i, j int) { s.Brokers[i], s.Brokers[j] = s.Brokers[j], s.Brokers[i] })
		r.Shuffle(len(s.Shards), func(i, j int) { s.Shards[i], s.Shards[j] = s.Shards[j], s.Shards[i] })
		if got := fmt.Sprintf("%+v", Decide(s, Settings{})); got != want {
			t.Fatalf("shuffled:\n%s\nbefore:\n%s", got, want)
		}
	})
}

func TestOrphansOfEqualLoadSpreadEvenly(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 30).Draw(t, "brokers")
		s := Snapshot{Now: start, Brokers: brokers(n, rapid.IntRange(1, 4).Draw(t, "racks")), Shards: shards(rapid.IntRange(1, 300).Draw(t, "shards"), idle)}
		apply(&s, Assign(s, Settings{}))
		if d := spread(owned(s)); d > 1 {
			t.Fatalf("fresh cluster: %v", owned(s))
		}
		s.Brokers = slices.Delete(s.Brokers, 0, 1)
		moves := Assign(s, Settings{})
		apply(&s, moves)
		if d := spread(owned(s)); d > 1 {
			t.Fatalf("after a loss: %v", owned(s))
		}
		for _, m := range moves {
			if m.From != 1 {
				t.Fatalf("move %+v of a shard whose owner lives", m)
			}
		}
	})
}

func TestOrphansSpreadByLoad(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		largest := 0.0
		s := Snapshot{Now: start, Brokers: brokers(rapid.IntRange(2, 12).Draw(t, "brokers"), 3)}
		s.Shards = shards(rapid.IntRange(20, 200).Draw(t, "shards"), func(int) float64 {
			v := rapid.Float64Range(0, 5e6).Draw(t, "bytes")
			largest = max(largest, v)
			return v
		})
		d := Decide(s, Settings{})
		low, high := math.Inf(1), 0.0
		for _, b := range d.Brokers {
			low, high = min(low, b.UseNow), max(high, b.UseNow)
		}
		if most := 1.5 * (largest/100e6 + shardUse); high-low > most {
			t.Fatalf("use from %.4f to %.4f, a shard is at most %.4f", low, high, most/1.5)
		}
	})
}

func TestBalancingEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := anySnapshot(t)
		for i := range s.Brokers {
			s.Brokers[i].Draining, s.Brokers[i].Joined = false, time.Time{}
		}
		for i := range s.Shards {
			s.Shards[i].Moving = false
		}
		if len(s.Brokers) == 0 {
			return
		}
		moves, _ := settle(t, &s, Settings{MaxMoves: 4}, 200)
		if most := 3 * len(s.Shards); len(moves) > most {
			t.Fatalf("%d moves of %d shards", len(moves), len(s.Shards))
		}
	})
}

// Fine shards can be brought into the tolerance, from anywhere, in about the moves that it takes.
func TestBalancingReachesTheTolerance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 10).Draw(t, "brokers")
		s := Snapshot{Now: start, Brokers: brokers(n, 3)}
		s.Shards = shards(n*30, func(int) float64 { return rapid.Float64Range(1e5, 5e5).Draw(t, "bytes") })
		for i := range s.Shards {
			s.Shards[i].Owner = int32(1 + rapid.IntRange(0, n-1).Draw(t, "a")*rapid.IntRange(0, n-1).Draw(t, "b")/n)
		}
		misplaced := 0
		for _, b := range Decide(s, Settings{MaxMoves: -1}).Brokers {
			misplaced += max(0, b.ShardsBefore-30)
		}
		moves, _ := settle(t, &s, Settings{}, 200)
		d := Decide(s, Settings{})
		for _, b := range d.Brokers {
			if b.UseNow > 1.1*d.Target || b.UseNow < 0.9*d.Target {
				t.Fatalf("broker %+v, target %.4f: %s", b, d.Target, d.Why)
			}
		}
		if most := misplaced*3/2 + 2*n; len(moves) > most {
			t.Fatalf("%d moves, about %d shards were misplaced", len(moves), misplaced)
		}
	})
}

// Measurements that jump by a third from one minute to the next around constant loads must not move shards for ever.
func TestNoiseMovesLittle(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	mean := make([]float64, 400)
	for i := range mean {
		mean[i] = 1e5 * math.Exp(r.NormFloat64())
	}
	s := Snapshot{Now: start, Brokers: brokers(20, 3), Shards: shards(len(mean), func(i int) float64 { return mean[i] })}
	apply(&s, Assign(s, Settings{}))
	early, late := 0, 0
	for round := range 600 {
		for i := range s.Shards {
			s.Shards[i].Load.BytesInPerSecond = mean[i] * (2 + r.Float64()) / 2.5
		}
		d := Decide(s, Settings{})
		apply(&s, d.Moves)
		s.Now = s.Now.Add(time.Minute)
		if round < 60 {
			early += len(d.Moves)
		} else {
			late += len(d.Moves)
		}
	}
	if late > 20 {
		t.Fatalf("%d moves in nine hours, after %d in the first", late, early)
	}
}

func TestNewBrokerTakesItsShareFromAll(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 30).Draw(t, "brokers")
		s := Snapshot{Now: start, Brokers: brokers(n, 3)}
		s.Shards = shards(n*20, func(int) float64 { return rapid.Float64Range(1e6, 3e6).Draw(t, "bytes") })
		apply(&s, Assign(s, Settings{}))
		settle(t, &s, Settings{}, 100)
		s.Brokers = append(s.Brokers, Broker{ID: 99, Rack: "a"})
		moves, _ := settle(t, &s, Settings{}, 100)
		others := 0
		for _, m := range moves {
			if m.To != 99 {
				others++
			}
			if m.From == 99 {
				t.Fatalf("move %+v away from the new broker", m)
			}
		}
		d := Decide(s, Settings{})
		if use := d.Brokers[n].UseNow; use < 0.9*d.Target || use > 1.1*d.Target {
			t.Fatalf("new broker has %.3f of target %.3f", use, d.Target)
		}
		if share := 20 * n / (n + 1); others > len(moves)/3+3 || len(moves) > share*3/2+2 {
			t.Fatalf("%d moves, %d of them not to the new broker; its share is %d shards", len(moves), others, share)
		}
	})
}

func TestYoungBrokerWaits(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: brokers(3, 3), Shards: shards(60, idle)}
	apply(&s, Assign(s, Settings{}))
	s.Now = start.Add(time.Hour)
	s.Brokers = append(s.Brokers, Broker{ID: 9, Joined: s.Now.Add(-29 * time.Second)})
	d := Decide(s, Settings{})
	if len(d.Moves) != 0 || !strings.Contains(d.Brokers[3].Note, "joined 29s ago") {
		t.Fatalf("%d moves to a young broker, note %q", len(d.Moves), d.Brokers[3].Note)
	}
	s.Now = s.Now.Add(time.Second)
	if d = Decide(s, Settings{}); len(d.Moves) < 10 {
		t.Fatalf("%d moves to a settled broker: %s", len(d.Moves), d.Why)
	}
}

func TestHotShardIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: brokers(5, 2), Shards: shards(100, func(int) float64 { return 1e6 })}
	apply(&s, Assign(s, Settings{}))
	s.Shards[7].Load.BytesInPerSecond = 80e6
	s.Now = start.Add(time.Hour)
	home := s.Shards[7].Owner
	moves, _ := settle(t, &s, Settings{}, 50)
	if owned(s)[home] != 1 || s.Shards[7].Owner != home || len(moves) > 25 {
		t.Fatalf("broker %d of hot shard 7, now on %d, owns %v after %d moves", home, s.Shards[7].Owner, owned(s), len(moves))
	}
	d := Decide(s, Settings{})
	if b := d.Brokers[home-1]; b.HotShard != 7 || !strings.Contains(b.Note, "shard 7 alone is 80 %") {
		t.Errorf("%+v", b)
	}
	if want := 99 * (0.01 + shardUse) / 4; math.Abs(d.Target-want) > 1e-9 {
		t.Errorf("target of the others %.4f, want %.4f", d.Target, want)
	}
	for _, b := range d.Brokers {
		if b.ID != home && (b.HotShard != None || b.UseNow < 0.9*d.Target || b.UseNow > 1.1*d.Target) {
			t.Errorf("broker %+v, target %.4f", b, d.Target)
		}
	}
	// A second one on the same broker has to leave it.
	s.Shards[8].Owner, s.Shards[8].Load.BytesInPerSecond = home, 90e6
	settle(t, &s, Settings{}, 50)
	if a, b := s.Shards[7].Owner, s.Shards[8].Owner; a == b || owned(s)[a] != 1 || owned(s)[b] != 1 {
		t.Errorf("hot shards on %d and %d, %v", a, b, owned(s))
	}
}

// While the small ones cool down the hot one stays, although a move would better the pair a little.
func TestHotShardDoesNotMoveInsteadOfOthers(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: brokers(2, 1), Shards: shards(11, func(i int) float64 { return 4e6 })}
	for i := range s.Shards {
		s.Shards[i].Owner, s.Shards[i].MovedAt = 1, start.Add(-time.Minute)
	}
	s.Shards[0].Load.BytesInPerSecond, s.Shards[0].MovedAt = 90e6, time.Time{}
	if d := Decide(s, Settings{}); len(d.Moves) != 0 {
		t.Fatalf("moves %v", d.Moves)
	}
	s.Now = start.Add(time.Hour)
	if d := Decide(s, Settings{}); len(d.Moves) != 10 {
		t.Fatalf("moves %v", d.Moves)
	}
}

// Two shards of almost a broker each, on one broker, and no other has room for either before it gives small ones away.
func TestLargeShardsPart(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: brokers(10, 3), Shards: shards(182, func(i int) float64 {
		if i < 2 {
			return 45e6
		}
		return 25e5
	})}
	for i := range s.Shards {
		s.Shards[i].Owner = int32(2 + i%9)
	}
	s.Shards[0].Owner, s.Shards[1].Owner = 1, 1
	moves, _ := settle(t, &s, Settings{}, 30)
	d := Decide(s, Settings{})
	for _, b := range d.Brokers {
		if b.UseNow > 1.1*d.Target || b.UseNow < 0.9*d.Target {
			t.Errorf("broker %+v, target %.3f", b, d.Target)
		}
	}
	if s.Shards[0].Owner == s.Shards[1].Owner || len(moves) > 60 {
		t.Errorf("large shards on %d and %d after %d moves", s.Shards[0].Owner, s.Shards[1].Owner, len(moves))
	}
}

// What a new broker takes must leave no giver short, so large shards stay where small ones do; and it is filled at once.
func TestFillingLeavesNoGap(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: brokers(20, 1), Shards: shards(20*41, func(i int) float64 {
		if i%41 == 0 {
			return 20e6
		}
		return 5e5
	})}
	for i := range s.Shards {
		s.Shards[i].Owner = int32(1 + i/41)
	}
	s.Brokers = append(s.Brokers, Broker{ID: 99})
	d := Decide(s, Settings{MaxMoves: 1000})
	for _, m := range d.Moves {
		if m.To != 99 || m.Shard%41 == 0 {
			t.Errorf("move %+v", m)
		}
	}
	if use := d.Brokers[20].UseNow; use < 0.95*d.Target || use > d.Target {
		t.Errorf("new broker has %.3f of target %.3f", use, d.Target)
	}
}

func TestDrainEmptiesBrokers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(3, 12).Draw(t, "brokers")
		s := Snapshot{Now: start, Brokers: brokers(n, 3), Shards: shards(n*10, func(int) float64 { return rapid.Float64Range(0, 1e6).Draw(t, "bytes") })}
		apply(&s, Assign(s, Settings{}))
		s.Brokers[0].Draining, s.Brokers[1].Draining = true, true
		had := owned(s)[1] + owned(s)[2]
		var moved, rounds int
		for ; owned(s)[1]+owned(s)[2] > 0; rounds++ {
			d := Decide(s, Settings{MaxMoves: 3})
			moved += len(d.Moves)
			if len(d.Moves) > 3 || rounds > had {
				t.Fatalf("round %d with %d moves, %v", rounds, len(d.Moves), owned(s))
			}
			apply(&s, d.Moves)
		}
		if rounds != (had+2)/3 {
			t.Fatalf("%d shards left in %d rounds of 3", had, rounds)
		}
		for _, b := range Decide(s, Settings{}).Brokers[:2] {
			if b.Note != "drained" {
				t.Fatalf("note of %+v", b)
			}
		}
	})
}

func TestNobodyToTakeShards(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: []Broker{{ID: 1, Draining: true}}, Shards: shards(4, idle)}
	s.Shards[0].Owner = 1
	d := Decide(s, Settings{})
	if len(d.Moves) != 0 || d.Unplaced != 3 || d.Brokers[0].Note != "draining, 1 shards to go" {
		t.Fatalf("%+v", d)
	}
	if d = Decide(Snapshot{Now: start, Shards: shards(4, idle)}, Settings{}); d.Unplaced != 4 || len(d.Brokers) != 0 {
		t.Fatalf("%+v", d)
	}
}

// A rack's loss must orphan its share, and the partitions of a topic, which are neighbours, be on other brokers and racks.
func TestRacksCarryTheirShareAndTopicsSpread(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := Snapshot{Now: start, Brokers: brokers(rapid.IntRange(18, 40).Draw(t, "brokers"), 3)}
		s.Shards = shards(20*len(s.Brokers), func(int) float64 { return rapid.Float64Range(1e4, 3e6).Draw(t, "bytes") })
		d := Decide(s, Settings{})
		apply(&s, d.Moves)
		for _, r := range d.Racks {
			if r.Use < 0.9*d.Target || r.Use > 1.1*d.Target || r.WithoutIt < 1.3*d.Target || r.WithoutIt > 1.8*d.Target {
				t.Fatalf("rack %+v, target %.3f", r, d.Target)
			}
		}
		sameBroker, sameRack := 0, 0
		for i := range s.Shards {
			a, b := s.Shards[i].Owner, s.Shards[(i+1)%len(s.Shards)].Owner
			if a == b {
				sameBroker++
			}
			if (a-1)%3 == (b-1)%3 {
				sameRack++
			}
		}
		if n := len(s.Shards); sameBroker > n/40 || sameRack > n/4 { // by chance: 1/18 to 1/40, and 1/3
			t.Fatalf("of %d neighbours %d on one broker, %d in one rack", n, sameBroker, sameRack)
		}
	})
}

func TestCapacityCounts(t *testing.T) {
	t.Parallel()
	s := Snapshot{Now: start, Brokers: []Broker{{ID: 1, Capacity: 3}, {ID: 2}, {ID: 3, Base: Load{BytesInPerSecond: 10e6}}}, Shards: shards(100, func(int) float64 { return 1e6 })}
	apply(&s, Assign(s, Settings{}))
	got := owned(s)
	if got[1] < 64 || got[1] > 67 || got[2] < 21 || got[2] > 23 || got[3] < 11 || got[3] > 14 {
		t.Fatalf("owned %v: want 3 times, once, and once less a base of nine shards", got)
	}
}

func TestWhyNothingMoves(t *testing.T) {
	t.Parallel()
	even := Snapshot{Now: start, Brokers: brokers(3, 3), Shards: shards(30, idle)}
	apply(&even, Assign(even, Settings{}))
	even.Now = start.Add(time.Hour)
	tilted := even
	tilted.Shards = slices.Clone(even.Shards)
	for i := range tilted.Shards[:20] {
		tilted.Shards[i].Owner = 1
	}
	cooling := tilted
	cooling.Now = start.Add(time.Minute)
	moving := tilted
	moving.Shards = slices.Clone(tilted.Shards)
	moving.Shards[0].Moving, moving.Shards[1].Moving = true, true
	for _, c := range []struct {
		name string
		s    Snapshot
		set  Settings
		why  string
		n    int
	}{
		{"orphans", Snapshot{Now: start, Brokers: brokers(3, 3), Shards: shards(3, idle)}, Settings{}, "without an owner came first", 3},
		{"alone", Snapshot{Now: start, Brokers: brokers(1, 1)}, Settings{}, "no two brokers", 0},
		{"even", even, Settings{}, "within 10 %", 0},
		{"cooling", cooling, Settings{}, "no shard that may move now", 0},
		{"under way", moving, Settings{MaxMoves: 2}, "2 moves may be under way", 0},
		{"tilted", tilted, Settings{}, "within 10 %", 13},
	} {
		if d := Decide(c.s, c.set); !strings.Contains(d.Why, c.why) || len(d.Moves) != c.n {
			t.Errorf("%s: %d moves, %q, want %d, %q\n%+v", c.name, len(d.Moves), d.Why, c.n, c.why, d.Brokers)
		}
	}
	if note := Decide(cooling, Settings{}).Brokers[0].Note; !strings.Contains(note, "moved less than 5m0s ago") {
		t.Errorf("note of a broker that cools down: %q", note)
	}
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{100, 1000} {
		r := rand.New(rand.NewPCG(1, 2))
		fresh := Snapshot{Now: start, Brokers: brokers(n, 3), Shards: shards(n*2048/100, func(int) float64 { return 1e5 * math.Exp(1.5*r.NormFloat64()) })}
		owned := fresh
		owned.Shards = slices.Clone(fresh.Shards)
		apply(&owned, Assign(owned, Settings{}))
		tilted := owned
		tilted.Shards = slices.Clone(owned.Shards)
		for i := range tilted.Shards {
			tilted.Shards[i].Owner = 1 + tilted.Shards[i].Owner*tilted.Shards[i].Owner/int32(n+1)
			tilted.Shards[i].MovedAt = time.Time{}
		}
		for _, c := range []struct {
			name string
			s    Snapshot
		}{{"orphans", fresh}, {"even", owned}, {"tilted", tilted}} {
			b.Run(fmt.Sprintf("brokers=%d/%s", n, c.name), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					Decide(c.s, Settings{})
				}
			})
		}
	}
}
