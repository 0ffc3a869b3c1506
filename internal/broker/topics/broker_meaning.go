package topics

import (
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// What Kafka's parts have to say about broker settings that are changed while it runs, beyond type and range. Settings that
// do nothing here are held to it too: a script that Kafka would refuse must not go through unnoticed.

// threadCounts may at most double or halve in one change.
var threadCounts = []string{
	"background.threads", "log.cleaner.threads", "num.io.threads", "num.network.threads", "num.recovery.threads.per.data.dir", "num.replica.fetchers",
	"remote.log.manager.copier.thread.pool.size", "remote.log.manager.expiration.thread.pool.size", "remote.log.manager.follower.thread.pool.size",
	"remote.log.reader.threads",
}

// ourClasses are the Java classes whose work is done here, by the settings that name classes and can be changed. No other
// one can be loaded.
var ourClasses = map[string][]string{
	"metric.reporters":         {"org.apache.kafka.common.metrics.JmxReporter"},
	"principal.builder.class":  {"org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder"},
	"ssl.engine.factory.class": {"org.apache.kafka.common.security.ssl.DefaultSslEngineFactory"},
}

// checkMeaning refuses changes after which the broker's settings, next, would not fit each other or those in force. names
// are the settings that are changed, and now set. The error is INVALID_REQUEST.
func (v *View) checkMeaning(next *config.Values, names []string) error {
	number := func(values *config.Values, name string) int64 {
		n, _ := brokerNumber(values, name)
		return n
	}
	for _, name := range names {
		text, _, _ := next.Text(name)
		was, is := number(v.broker, name), number(next, name)
		switch {
		case slices.Contains(threadCounts, name) && (is < 1 || is < was/2 || is > was*2):
			return kafka.Errorf(kafka.InvalidRequest, "Dynamic thread count update validation failed for %s=%d, value should be at least half and not greater than double the current value %d", name, is, was)
		case ourClasses[name] != nil:
			for class := range strings.SplitSeq(text, ",") {
				if class = strings.TrimSpace(class); class != "" && !slices.Contains(ourClasses[name], class) || class == "" && name != "metric.reporters" {
					return kafka.Errorf(kafka.InvalidRequest, "Invalid value %s for configuration %s: Class %s could not be found.", text, name, class)
				}
			}
		case name == LogRollMs.Name() && is < 1, name == LogRollJitterMs.Name() && is < 0:
			return kafka.Errorf(kafka.InvalidRequest, "%s is too small: %d", name, is)
		case name == LogRetentionMs.Name() && is == 0:
			return kafka.Errorf(kafka.InvalidRequest, "%s must be unlimited (-1) or, greater than or equal to 1", name)
		case name == "cordoned.log.dirs" && text != "":
			return kafka.Errorf(kafka.InvalidRequest, "All entries in cordoned.log.dirs must be present in log.dirs or log.dir: there is one data directory here, which always takes partitions")
		}
	}
	for _, x := range []struct {
		name, other string
		whole       int64
	}{{"log.local.retention.ms", LogRetentionMs.Name(), LogRetentionMs.Get(next)}, {"log.local.retention.bytes", LogRetentionBytes.Name(), LogRetentionBytes.Get(next)}} {
		local := number(next, x.name)
		if (slices.Contains(names, x.name) || slices.Contains(names, x.other)) && x.whole >= 0 && local > x.whole {
			return kafka.Errorf(kafka.InvalidRequest, "Invalid value %d for configuration %s: Value must not be more than %s property value.", local, x.name, x.other)
		}
	}
	if lockedOut(next) && !lockedOut(v.broker) {
		return kafka.Errorf(kafka.InvalidRequest, "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	}
	return nil
}

// lockedOut tells whether nobody may connect.
func lockedOut(values *config.Values) bool {
	limit, ok := brokerNumber(values, "max.connections.per.ip")
	overrides, _, _ := values.Text("max.connections.per.ip.overrides")
	return ok && limit == 0 && overrides == ""
}

// eligibleReplicas is the feature with which min.insync.replicas is the cluster's alone (KIP-966).
const eligibleReplicas = "eligible.leader.replicas.version"

// checkInsync refuses to set min.insync.replicas for one broker, and to take away the cluster's, as Kafka does by that
// feature. The error is INVALID_CONFIG.
func (v *View) checkInsync(broker string, changes []Change) error {
	if level, changed := v.features.levels[eligibleReplicas]; changed && level == 0 {
		return nil
	}
	for _, c := range changes {
		switch {
		case c.Name != MinInsyncReplicas.Name():
		case broker != "":
			return kafka.Errorf(kafka.InvalidConfig, "Broker-level min.insync.replicas cannot be altered while ELR is enabled.")
		case c.Op == Delete:
			return kafka.Errorf(kafka.InvalidConfig, "Cluster-level min.insync.replicas cannot be removed while ELR is enabled.")
		}
	}
	return nil
}
