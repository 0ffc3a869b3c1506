//go:build clusterchaos && linux

package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/weir-stream/weir/internal/base/servertest"
)

// An etcd of three members loses its leader, and then another one, under load: producers notice at most a pause of seconds, and nothing is lost.
func TestClusterOutlivesMembersOfEtcd(t *testing.T) {
	endpoints, members := servertest.StartEtcdMembers(t, 3)
	c := startOn(t, 3, "etcd://"+strings.ReplaceAll(strings.Join(endpoints, ","), "http://", "")+"/weir", endpoints[0], restless()...)
	p := c.beat("members", everyShard)
	c.settled(p)
	c.rest(2 * time.Second)
	everything := make([]int32, len(p.acks))
	for i := range everything {
		everything[i] = int32(i)
	}
	for _, which := range []string{"leader", "follower"} {
		victim := leaderOf(t, endpoints)
		if which == "follower" {
			victim = (victim + 1) % len(members)
		}
		at := time.Now()
		members[victim].Kill()
		c.note("member %d of etcd, a %s, is killed", victim, which)
		took := c.changes(p, which)
		c.rest(12 * time.Second) // two leases and more
		p.flowing(time.Now(), 30*time.Second)
		gap, _ := p.gap(at, everything)
		t.Logf("FIGURE a %s of three members of etcd is killed: longest gap of acknowledgements %.2f s, a topic was made after %.2f s", which, gap.Seconds(), took.Seconds())
		if gap > 2*failOverGoal {
			t.Errorf("producers waited for %v", gap)
		}
		members[victim].Restart()
	}
	p.allThere(t)
}

// Without a majority of its members etcd answers nobody. Brokers go on with what they own, and with everything when it is back.
func TestClusterOutlivesTheQuorumOfEtcd(t *testing.T) {
	endpoints, members := servertest.StartEtcdMembers(t, 3)
	c := startOn(t, 3, "etcd://"+strings.ReplaceAll(strings.Join(endpoints, ","), "http://", "")+"/weir", endpoints[0], restless()...)
	p := c.beat("quorum", everyShard)
	c.settled(p)
	c.rest(2 * time.Second)
	everything := make([]int32, len(p.acks))
	for i := range everything {
		everything[i] = int32(i)
	}
	leader := leaderOf(t, endpoints)
	other := (leader + 1) % len(members)
	at := time.Now()
	members[leader].Kill()
	members[other].Kill()
	c.note("members %d and %d of etcd are killed", leader, other)
	c.rest(30 * time.Second)
	away, _ := p.gap(at, everything)
	members[leader].Restart()
	back := time.Now()
	took := c.changes(p, "back")
	p.flowing(time.Now(), time.Minute)
	t.Logf("FIGURE two of three members of etcd are away for 30 s: longest gap of acknowledgements %.2f s; a topic was made %.2f s after they were back", away.Seconds(), took.Seconds())
	c.note("all goes on %v after a majority was there again", time.Since(back))
	members[other].Restart()
	p.allThere(t)
}

// allThere ends the producers, and compares what was acknowledged with what is there.
func (p *pulse) allThere(t *testing.T) {
	t.Helper()
	sent, failed := p.end()
	for _, err := range failed {
		t.Errorf("a record failed: %v", err)
	}
	adm := kadm.NewClient(p.client)
	ends, err := adm.ListEndOffsets(t.Context(), p.topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		t.Fatal(err)
	}
	there := int64(0)
	ends.Each(func(o kadm.ListedOffset) { there += o.Offset })
	if there != int64(sent) {
		t.Errorf("%d records were acknowledged once each, %d are there", sent, there)
	}
}

// leaderOf returns which member leads.
func leaderOf(t *testing.T, endpoints []string) int {
	t.Helper()
	cl, err := clientv3.New(clientv3.Config{Endpoints: endpoints, DialTimeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close() //nolint:errcheck // it only asks
	for range 100 {
		for i, e := range endpoints {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s, err := cl.Status(ctx, e)
			cancel()
			if err == nil && s.Leader == s.Header.MemberId {
				return i
			}
		}
		_ = pause(t.Context(), 100*time.Millisecond)
	}
	t.Fatal("no member of etcd leads")
	return 0
}

// changes makes a topic, which needs etcd, and returns how long that took.
func (c *nodes) changes(p *pulse, name string) time.Duration {
	c.t.Helper()
	at := time.Now()
	for i := 0; ; i++ {
		_, err := kadm.NewClient(p.client).CreateTopic(c.t.Context(), 1, 1, nil, fmt.Sprint(name, "-", i))
		if err == nil {
			return time.Since(at)
		}
		if time.Since(at) > time.Minute {
			c.t.Fatalf("no topic can be made: %v", err)
		}
		c.rest(100 * time.Millisecond)
	}
}
