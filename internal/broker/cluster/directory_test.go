package cluster

import "testing"

func TestViewAnswersForUnknownShardsAndBrokers(t *testing.T) {
	t.Parallel()
	v := &View{Self: 2, Brokers: []Broker{{ID: 1}, {ID: 2, Endpoints: []Endpoint{{"A", "h", 1}, {"B", "h", 2}}}}, Shards: []Ownership{{Broker: 1, Epoch: 5}, {Broker: 2, Epoch: 7}}}
	for shard, want := range map[int32]Ownership{-1: {Broker: Nobody, Epoch: -1}, 0: {Broker: 1, Epoch: 5}, 1: {Broker: 2, Epoch: 7}, 2: {Broker: Nobody, Epoch: -1}} {
		if got := v.Owner(shard); got != want {
			t.Errorf("owner of %d is %v, want %v", shard, got, want)
		}
	}
	if v.Local(0) || !v.Local(1) || v.Local(9) {
		t.Error("the broker has shard 1 and no other")
	}
	if _, ok := v.Broker(3); ok {
		t.Error("there is no broker 3")
	}
	b, ok := v.Broker(2)
	if !ok || b.ID != 2 {
		t.Fatalf("broker 2 is %v, %v", b, ok)
	}
	if e, ok := b.Endpoint("B"); !ok || e.Port != 2 {
		t.Errorf("endpoint B is %v, %v", e, ok)
	}
	if _, ok := b.Endpoint("C"); ok {
		t.Error("there is no listener C")
	}
}

func TestLeaderOfAShardOnItsWayIsTheBrokerThatIsToHaveIt(t *testing.T) {
	t.Parallel()
	serving := func(id int32, draining bool) Broker {
		return Broker{ID: id, Incarnation: 10, Endpoints: []Endpoint{{"A", "h", 1}}, Draining: draining}
	}
	v := &View{
		Self: 1, Brokers: []Broker{serving(1, false), serving(2, false), {ID: 3}, serving(4, true)},
		Shards:   []Ownership{{Broker: 1, Epoch: 5}, {Broker: Nobody, Epoch: 6}, {Broker: Nobody, Epoch: 7}, {Broker: Nobody, Epoch: -1}, {Broker: Nobody, Epoch: 8}, {Broker: Nobody, Epoch: 9}, {Broker: Nobody, Epoch: 10}},
		Assigned: []int32{2, 2, 3, 2, 9, Nobody, 4},
	}
	for shard, want := range map[int32]Ownership{
		0: {Broker: 1, Epoch: 5},       // the owner still has it
		1: {Broker: 2, Epoch: 6},       // released, and assigned
		2: {Broker: Nobody, Epoch: 7},  // to a broker that cannot be asked yet
		3: {Broker: Nobody, Epoch: -1}, // nobody ever had it
		4: {Broker: Nobody, Epoch: 8},  // to a broker that is dead
		5: {Broker: Nobody, Epoch: 9},
		6: {Broker: Nobody, Epoch: 10}, // to one that goes
	} {
		if got := v.Leader(shard); got != want {
			t.Errorf("leader of shard %d is %+v, want %+v", shard, got, want)
		}
	}
}

func TestDirectoryTellsOfChanges(t *testing.T) {
	t.Parallel()
	d := NewDirectory(4)
	if v := d.View(); v.Self != 4 || v.Controller != Nobody || v.Local(0) {
		t.Fatalf("first view is %+v", v)
	}
	var before, after *View
	d.OnChange(func(b, a *View) { before, after = b, a })
	first, changed := d.View(), d.Changed()
	next := &View{Self: 4, Shards: []Ownership{{Broker: 4, Epoch: 1}}}
	d.Publish(next)
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	if before != first || after != next || d.View() != next {
		t.Error("listeners were not told of both views")
	}
	select {
	case <-d.Changed():
		t.Error("told of a change that has not happened")
	default:
	}
}
