package topics

import "testing"

func TestAssignmentsNameBrokersThatThereAre(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	s.o.Brokers = func() []int32 { return []int32{1, 2, 3} }
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{3}}, {1, []int32{2}}}}, "ok"},
		{Spec{Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{4, 1}}}}, "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes broker 4, but no such broker is registered."},
		{Spec{Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{2, 2}}}}, "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes the broker 2 more than once."},
		{Spec{Partitions: -1, ReplicationFactor: -1, Assignments: []Assignment{{0, []int32{2, 1}}}}, "ok"},
		{Spec{Partitions: 1, ReplicationFactor: 3}, "ok"},
		{Spec{Partitions: 1, ReplicationFactor: 4}, "INVALID_REPLICATION_FACTOR Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because only 3 broker(s) are registered or some brokers have all their log directories cordoned."},
	} {
		c.spec.Name = "t"
		if _, err := s.Create(t.Context(), c.spec, true); told(err) != c.want {
			t.Errorf("%+v: %q, want %q", c.spec, told(err), c.want)
		}
	}
	mustCreate(t, s, one("grown"))
	if grown, err := s.AddPartitions(t.Context(), "grown", 2, [][]int32{{3}}, false); err != nil || grown.Partitions != 2 {
		t.Errorf("%+v, %v", grown, err)
	}
	_, err := s.AddPartitions(t.Context(), "grown", 3, [][]int32{{4}}, false)
	if want := "INVALID_REPLICA_ASSIGNMENT The manual partition assignment includes broker 4, but no such broker is registered."; told(err) != want {
		t.Errorf("%q, want %q", told(err), want)
	}
}
