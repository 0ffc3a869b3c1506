package placement

import (
	"testing"
	"time"
)

// The partitions of a topic have neighbouring shards: they must not all come to one broker.
func TestNeighboursPartWhenBrokersJoin(t *testing.T) {
	t.Parallel()
	for _, idle := range []bool{true, false} {
		s := Snapshot{Now: time.Unix(1000, 0)}
		for id := range int32(64) {
			sh := Shard{ID: id, Owner: None}
			if !idle {
				sh.Load.BytesInPerSecond = 100e3
			}
			s.Shards = append(s.Shards, sh)
		}
		for joined := int32(1); joined <= 3; joined++ {
			s.Brokers = append(s.Brokers, Broker{ID: joined})
			for range 20 {
				for _, m := range Decide(s, Settings{Settle: -1, Cooldown: -1}).Moves {
					s.Shards[m.Shard].Owner = m.To
				}
			}
		}
		const window = 6
		for first := range s.Shards {
			on := map[int32]int{}
			for i := range window {
				on[s.Shards[(first+i)%len(s.Shards)].Owner]++
			}
			for broker, n := range on {
				if n > window/2+1 {
					t.Errorf("idle %v: broker %d has %d of the %d shards from %d on: %v", idle, broker, n, window, first, on)
				}
			}
		}
	}
}
