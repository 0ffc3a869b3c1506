package pacer

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// world is clients that write so much in each millisecond, for as long as they do, and work that takes a millisecond for each so many bytes.
type world struct {
	clients Clients
	p       *Pacer
	rate    atomic.Int64 // bytes in a millisecond
	written atomic.Int64
	speed   int64
}

// begin starts the clients and lets the pacer see them.
func begin(t *testing.T, rate, speed int64) *world {
	t.Helper()
	w := &world{speed: speed}
	w.p = New(&w.clients, nil)
	w.rate.Store(rate)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if n := w.rate.Load(); n > 0 {
					w.written.Add(n)
					w.clients.Served(n)
				}
			}
		}
	}()
	w.p.Look()
	<-time.After(window)
	w.p.Look()
	return w
}

// run does a work of total bytes in pieces and returns how long that took, and how much was written meanwhile.
func (w *world) run(t *testing.T, total int64, work *Work) (time.Duration, int64) {
	t.Helper()
	began, written := time.Now(), w.written.Load()
	for done := int64(0); done < total; done += w.speed {
		<-time.After(time.Millisecond)
		if err := work.Did(t.Context(), w.speed); err != nil {
			t.Fatal(err)
		}
	}
	work.End()
	return time.Since(began), w.written.Load() - written
}

const mib = 1 << 20

func TestFullSpeedWhileClientsAreIdle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 0, mib)
		if took, _ := w.run(t, 500*mib, w.p.Begin(500*mib, time.Minute)); took != 500*time.Millisecond {
			t.Errorf("took %v, 500ms at full speed", took)
		}
	})
}

func TestAWorkEndsInItsTimeBesideClientsThatWriteNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 10*mib, mib) // readers: nothing counts towards a limit
		took, _ := w.run(t, 500*mib, w.p.Begin(500*mib, time.Minute, Limit{Used: func() int64 { return 7 }, Room: 1}))
		if took < 59*time.Second || took > time.Minute+pause {
			t.Errorf("took %v, want close to the minute that there was", took)
		}
	})
}

func TestIdleClientsLetAWorkGoAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 10*mib, mib)
		work := w.p.Begin(500*mib, time.Hour)
		time.AfterFunc(10*time.Second, func() { w.rate.Store(0) })
		if took, _ := w.run(t, 500*mib, work); took < 10*time.Second || took > 10*time.Second+lull+2*window+500*time.Millisecond {
			t.Errorf("took %v, want half a second and the lull after the 10s in which clients were busy", took)
		}
	})
}

func TestWhoWaitsIsNotMadeToWaitForClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 10*mib, mib)
		work := w.p.Begin(500*mib, time.Hour)
		time.AfterFunc(10*time.Second, func() { w.p.Hurry() })
		if took, _ := w.run(t, 500*mib, work); took < 10*time.Second || took > 10*time.Second+600*time.Millisecond {
			t.Errorf("took %v, want half a second after the 10s", took)
		}
		done := w.p.Hurry()
		done()
		w.p.hurried.Add(-1) // that of the timer
		if took, _ := w.run(t, 500*mib, w.p.Begin(500*mib, time.Minute)); took < 59*time.Second {
			t.Errorf("took %v after nobody waited any more", took)
		}
	})
}

func TestTheEndOfTheContextEndsTheHold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 10*mib, mib)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.p.Begin(500*mib, time.Hour).Did(ctx, 100*mib); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestAWorkWithoutPacerIsNotHeld(t *testing.T) {
	t.Parallel()
	var w *Work
	if err := w.Did(t.Context(), 100*mib); err != nil {
		t.Error(err)
	}
	w.End()
	var c *Clients
	c.Served(1)
}

func TestFewRequestsHoldNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, 0, mib)
		for i := range 20 { // heartbeats, commits
			time.AfterFunc(time.Duration(i)*50*time.Millisecond, func() { w.clients.Served(100) })
		}
		if took, _ := w.run(t, 500*mib, w.p.Begin(500*mib, time.Minute)); took != 500*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// TestTheBoundIsKeptWhereFullSpeedKeepsIt writes at all kinds of rates beside work of all sizes and speeds.
func TestTheBoundIsKeptWhereFullSpeedKeepsIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			rate, speed := 1+rng.Int64N(2*mib), 64<<10+rng.Int64N(2*mib)
			total, room := mib+rng.Int64N(400*mib), rng.Int64N(400*mib)
			within := time.Duration(1 + rng.Int64N(int64(30*time.Second)))
			w := begin(t, rate, speed)
			took, written := w.run(t, total, w.p.Begin(total, within, Limit{Used: w.written.Load, Room: room}))
			full := time.Duration((total+speed-1)/speed) * time.Millisecond
			// A slice is copied, and a pause may pass, before the work sees that it is late.
			slack := pause + time.Duration(2*sliceBytes/speed+2)*time.Millisecond
			if most := max(full, within) + slack; took > most {
				t.Errorf("seed %d: took %v, full speed %v, the time was %v", seed, took, full, within)
			}
			fullWrites := rate * int64(full/time.Millisecond)
			if most := max(fullWrites, room) + rate*int64(slack/time.Millisecond); written > most {
				t.Errorf("seed %d: %d bytes written meanwhile, %d at full speed, the room was %d", seed, written, fullWrites, room)
			}
		})
	}
}

// TestBurstsDoNotPassTheBound lets clients write at rates that change, below one at which full speed keeps the room.
func TestBurstsDoNotPassTheBound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			speed, total := 64<<10+rng.Int64N(2*mib), 20*mib+rng.Int64N(400*mib)
			room := mib + rng.Int64N(400*mib)
			most := max(1, room*9/10*speed/total) // in a millisecond
			w := begin(t, most, speed)
			for at := time.Duration(0); at < 30*time.Second; at += time.Duration(rng.Int64N(int64(2 * time.Second))) {
				rate := rng.Int64N(most + 1)
				switch rng.IntN(3) {
				case 0:
					rate = most
				case 1:
					rate = most / 1000
				}
				time.AfterFunc(at, func() { w.rate.Store(rate) })
			}
			_, written := w.run(t, total, w.p.Begin(total, 30*time.Second, Limit{Used: w.written.Load, Room: room}))
			slack := most * (int64(pause/time.Millisecond) + 2*sliceBytes/speed + 2)
			if written > room+slack {
				t.Errorf("seed %d: %d bytes written meanwhile, the room was %d", seed, written, room)
			}
		})
	}
}

// TestALimitThatStandsStillDoesNotPress writes past the room at once, and then reads only.
func TestALimitThatStandsStillDoesNotPress(t *testing.T) {
	t.Parallel()
	for _, hard := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := begin(t, 10*mib, mib)
			used := int64(0)
			work := w.p.Begin(2000*mib, time.Minute, Limit{Used: func() int64 { return used }, Room: 10 * mib, Hard: hard})
			used = 11 * mib
			took, _ := w.run(t, 2000*mib, work)
			if least := 2 * time.Second; hard && took != least {
				t.Errorf("took %v beside a hard limit, %v at full speed", took, least)
			}
			if !hard && (took < 59*time.Second || took > time.Minute+pause) {
				t.Errorf("took %v, want close to the minute that there was", took)
			}
			// What is written after a pause has to be made up for.
			began := time.Now()
			work = w.p.Begin(2000*mib, time.Minute, Limit{Used: func() int64 {
				late := time.Since(began) - 20*time.Second
				return used + max(0, int64(late/time.Millisecond))*mib/100
			}, Room: 10 * mib, Hard: hard})
			used += 11 * mib
			if took, _ := w.run(t, 2000*mib, work); took > 23*time.Second {
				t.Errorf("took %v, want all to be done soon after the 20s when more is written", took)
			}
		})
	}
}

// TestLessRoomIsNeverSlower compares works that differ in how much of their room is left.
func TestLessRoomIsNeverSlower(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := begin(t, mib, mib)
		before := time.Hour
		for _, room := range []int64{10_000 * mib, 5000 * mib, 2000 * mib, 1000 * mib, 600 * mib, 500 * mib, 100 * mib, mib, 0, -mib} {
			took, _ := w.run(t, 500*mib, w.p.Begin(500*mib, time.Minute, Limit{Used: w.written.Load, Room: room}))
			if took > before+pause {
				t.Errorf("room of %d MiB: took %v, %v with more", room/mib, took, before)
			}
			before = took
		}
		if before != 500*time.Millisecond {
			t.Errorf("took %v without room", before)
		}
	})
}
