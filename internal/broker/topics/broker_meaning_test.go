package topics

import "testing"

func TestBrokerSettingsMustFitTheOthers(t *testing.T) {
	t.Parallel()
	s := openStore(t, newMeta(t))
	broker, all := Resource{Broker, "1"}, Resource{Broker, ""}
	for _, c := range []struct {
		r       Resource
		changes []Change
		want    string
	}{
		{broker, []Change{set("num.io.threads", "16")}, "ok"},
		{broker, []Change{set("num.io.threads", "33")}, "INVALID_REQUEST Dynamic thread count update validation failed for num.io.threads=33, value should be at least half and not greater than double the current value 16"},
		{broker, []Change{set("num.io.threads", "32")}, "ok"},
		{broker, []Change{set("log.cleaner.threads", "0")}, "INVALID_REQUEST Dynamic thread count update validation failed for log.cleaner.threads=0, value should be at least half and not greater than double the current value 1"},
		{broker, []Change{set("log.retention.ms", "0")}, "INVALID_REQUEST log.retention.ms must be unlimited (-1) or, greater than or equal to 1"},
		{broker, []Change{set("log.retention.ms", "-1")}, "ok"},
		{broker, []Change{set("log.roll.ms", "0")}, "INVALID_REQUEST log.roll.ms is too small: 0"},
		{all, []Change{set("log.local.retention.ms", "99999999999")}, "ok"}, // the broker keeps records for ever
		{broker, []Change{set("log.retention.ms", "5000")}, "INVALID_REQUEST Invalid value 99999999999 for configuration log.local.retention.ms: Value must not be more than log.retention.ms property value."},
		{broker, []Change{set("principal.builder.class", "org.example.Builder")}, "INVALID_REQUEST Invalid value org.example.Builder for configuration principal.builder.class: Class org.example.Builder could not be found."},
		{broker, []Change{set("metric.reporters", "")}, "ok"},
		{broker, []Change{set("metric.reporters", "org.apache.kafka.common.metrics.JmxReporter,x")}, "INVALID_REQUEST Invalid value org.apache.kafka.common.metrics.JmxReporter,x for configuration metric.reporters: Class x could not be found."},
		{broker, []Change{set("cordoned.log.dirs", "/data")}, "INVALID_REQUEST All entries in cordoned.log.dirs must be present in log.dirs or log.dir: there is one data directory here, which always takes partitions"},
		{broker, []Change{set("max.connections.per.ip", "0")}, "INVALID_REQUEST max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
		{broker, []Change{set("max.connections.per.ip", "0"), set("max.connections.per.ip.overrides", "127.0.0.1:5")}, "ok"},
		{broker, []Change{{Name: "max.connections.per.ip.overrides", Op: Delete}}, "INVALID_REQUEST max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set."},
		{all, []Change{set("min.insync.replicas", "2")}, "ok"},
		{broker, []Change{set("min.insync.replicas", "2")}, "INVALID_CONFIG Broker-level min.insync.replicas cannot be altered while ELR is enabled."},
		{all, []Change{{Name: "min.insync.replicas", Op: Delete}}, "INVALID_CONFIG Cluster-level min.insync.replicas cannot be removed while ELR is enabled."},
		{all, []Change{do("follower.replication.throttled.rate", Append, "5")}, "INVALID_CONFIG Unknown config name: follower.replication.throttled.rate"},
	} {
		if got := told(s.AlterConfigs(t.Context(), c.r, c.changes, false)); got != c.want {
			t.Errorf("%v %v: got %s, want %s", c.r, c.changes, got, c.want)
		}
	}
	if err := s.SetFeatureLevels(t.Context(), map[string]int16{eligibleReplicas: 0}); err != nil {
		t.Fatal(err)
	}
	if got := told(s.AlterConfigs(t.Context(), broker, []Change{set("min.insync.replicas", "2")}, false)); got != "ok" {
		t.Errorf("min.insync.replicas of one broker without eligible replicas: got %s", got)
	}
}
