package topics

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// GroupSettings are the configs of groups. A coordinator reads them with Key.Get from View.GroupConfig, which
// already holds the broker's value where the group has none of its own.
var (
	GroupConsumerSessionTimeout     = config.MillisInt("consumer.session.timeout.ms", 45_000*millisecond, config.AtLeast(1), "Silence after which a member of a consumer group is taken for dead.")
	GroupConsumerHeartbeatInterval  = config.MillisInt("consumer.heartbeat.interval.ms", 5_000*millisecond, config.AtLeast(1), "How often members of a consumer group are told to send a heartbeat.")
	GroupConsumerAssignmentInterval = config.MillisInt("consumer.assignment.interval.ms", 1_000*millisecond, config.AtLeast(0), "Least time between two assignments of a consumer group.")
	GroupShareSessionTimeout        = config.MillisInt("share.session.timeout.ms", 45_000*millisecond, config.AtLeast(1), "Silence after which a member of a share group is taken for dead.")
	GroupShareHeartbeatInterval     = config.MillisInt("share.heartbeat.interval.ms", 5_000*millisecond, config.AtLeast(1), "How often members of a share group are told to send a heartbeat.")
	GroupShareAssignmentInterval    = config.MillisInt("share.assignment.interval.ms", 1_000*millisecond, config.AtLeast(0), "Least time between two assignments of a share group.")
	GroupShareRecordLockDuration    = config.MillisInt("share.record.lock.duration.ms", 30_000*millisecond, config.AtLeast(1_000), "How long a consumer of a share group holds the records that it got.")
	GroupShareDeliveryCountLimit    = config.Int("share.delivery.count.limit", 5, config.AtLeast(2), "How often a record is handed out in a share group before it is given up.")
	GroupSharePartitionRecordLocks  = config.Int("share.partition.max.record.locks", 2_000, config.AtLeast(100), "Most records of a partition that a share group has handed out at a time.")
	GroupShareRenewAcknowledge      = config.Bool("share.renew.acknowledge.enable", true, "Whether consumers of a share group may prolong their hold on records.")
	GroupShareAutoOffsetReset       = config.String("share.auto.offset.reset", "latest", config.Check("[latest, earliest, by_duration:PnDTnHnMn.nS]", checkReset),
		"Where a share group starts in a partition: at the latest or earliest record, or by_duration:P1D back from now.")
	GroupShareIsolationLevel = config.String("share.isolation.level", "read_uncommitted", config.OneOf("read_committed", "read_uncommitted"),
		"Whether a share group gets records of transactions that are open or aborted.")
	GroupStreamsSessionTimeout     = config.MillisInt("streams.session.timeout.ms", 45_000*millisecond, config.AtLeast(1), "Silence after which a member of a streams group is taken for dead.")
	GroupStreamsHeartbeatInterval  = config.MillisInt("streams.heartbeat.interval.ms", 5_000*millisecond, config.AtLeast(1), "How often members of a streams group are told to send a heartbeat.")
	GroupStreamsAssignmentInterval = config.MillisInt("streams.assignment.interval.ms", 1_000*millisecond, config.AtLeast(0), "Least time between two assignments of a streams group.")
	GroupStreamsStandbyReplicas    = config.Int("streams.num.standby.replicas", 0, config.AtLeast(0), "Warm copies of each task's state in a streams group.")
	GroupStreamsInitialDelay       = config.MillisInt("streams.initial.rebalance.delay.ms", 3_000*millisecond, config.AtLeast(0), "How long a new streams group waits for more members before its first assignment.")
)

const millisecond = 1_000_000 // of a time.Duration

// groupConfig is one config of groups; synonym is the broker's setting behind it, or "".
type groupConfig struct {
	setting       *config.Setting
	synonym       string
	lower, higher string // the broker's settings that bound it, or ""
}

func newGroupConfigs() []groupConfig {
	bounded := func(k config.Declared, low, high bool) groupConfig {
		name := k.Setting().Name()
		kind, rest, _ := strings.Cut(name, ".")
		g := groupConfig{setting: k.Setting(), synonym: "group." + name}
		if low {
			g.lower = "group." + kind + ".min." + rest
		}
		if high {
			g.higher = "group." + kind + ".max." + rest
		}
		return g
	}
	standby := bounded(GroupStreamsStandbyReplicas, false, false)
	standby.higher = "group.streams.max.standby.replicas"
	return []groupConfig{
		bounded(GroupConsumerHeartbeatInterval, true, true), bounded(GroupConsumerSessionTimeout, true, true),
		bounded(GroupConsumerAssignmentInterval, true, true),
		bounded(GroupShareHeartbeatInterval, true, true), bounded(GroupShareSessionTimeout, true, true),
		bounded(GroupShareRecordLockDuration, true, true), bounded(GroupShareDeliveryCountLimit, true, true),
		bounded(GroupSharePartitionRecordLocks, true, true), bounded(GroupShareAssignmentInterval, true, true),
		bounded(GroupStreamsHeartbeatInterval, true, true), bounded(GroupStreamsSessionTimeout, true, true),
		standby, bounded(GroupStreamsAssignmentInterval, true, true), bounded(GroupStreamsInitialDelay, false, false),
		{setting: GroupShareAutoOffsetReset.Setting()},
		{setting: GroupShareIsolationLevel.Setting()},
		{setting: GroupShareRenewAcknowledge.Setting()},
	}
}

var isoDuration = regexp.MustCompile(`^\+?P(\d+D)?(T(\d+H)?(\d+M)?(\d+(\.\d{0,9})?S)?)?$`)

func checkReset(v any) error {
	text, _ := v.(string)
	if text == "earliest" || text == "latest" {
		return nil
	}
	duration, ok := strings.CutPrefix(text, "by_duration:")
	duration = strings.ToUpper(duration)
	if ok && isoDuration.MatchString(duration) && strings.ContainsAny(duration, "0123456789") && !strings.HasSuffix(duration, "T") {
		return nil
	}
	return fmt.Errorf("Invalid value `%s` for configuration share.auto.offset.reset. The value must be either 'earliest', 'latest' or of the format "+ //nolint:staticcheck // Kafka's words
		"'by_duration:<PnDTnHnMn.nS>'.", text)
}

// checkGroupConfigs parses the configs of a group and holds them to the broker's bounds.
func (c *catalogue) checkGroupConfigs(broker *config.Values, overrides map[string]string) (*config.Values, error) {
	for _, name := range sortedKeys(overrides) {
		if _, ok := c.groupSchema.Lookup(name); !ok {
			return nil, kafka.Errorf(kafka.InvalidConfig, "Unknown group config name: %s", name)
		}
	}
	for _, g := range c.groups {
		if text, ok := overrides[g.setting.Name()]; ok {
			if _, err := g.setting.Parse(text); err != nil {
				return nil, kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
			}
		}
	}
	parsed, err := c.groupSchema.Defaults().With(config.FromDynamicBroker, overrides)
	if err != nil {
		return nil, kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
	}
	for _, g := range c.groups {
		text, ok := overrides[g.setting.Name()]
		if !ok {
			continue
		}
		value := wholeNumberOr(text, 0)
		if limit, ok := brokerNumber(broker, g.lower); ok && value < limit {
			return nil, kafka.Errorf(kafka.InvalidConfig, "%s must be greater than or equal to %s", g.setting.Name(), g.lower)
		}
		if limit, ok := brokerNumber(broker, g.higher); ok && value > limit {
			return nil, kafka.Errorf(kafka.InvalidConfig, "%s must be less than or equal to %s", g.setting.Name(), g.higher)
		}
	}
	effective := c.groupValues(broker, overrides)
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		s, _, _ := effective.Text(session)
		h, _, _ := effective.Text(heartbeat)
		if wholeNumberOr(s, 0) <= wholeNumberOr(h, 0) {
			return nil, kafka.Errorf(kafka.InvalidConfig, "%s must be greater than %s", session, heartbeat)
		}
	}
	return parsed, nil
}

// groupValues are a group's configs over the broker's settings, both kept within the broker's bounds: those may have
// moved since the group's configs were checked.
func (c *catalogue) groupValues(broker *config.Values, overrides map[string]string) *config.Values {
	texts := make(map[string]string, len(c.groups))
	for _, g := range c.groups {
		name := g.setting.Name()
		text, own := overrides[name]
		if !own && g.synonym != "" {
			text, _, own = broker.Text(g.synonym)
		}
		if !own {
			continue
		}
		if limit, ok := brokerNumber(broker, g.lower); ok && wholeNumberOr(text, limit) < limit {
			text = fmt.Sprint(limit)
		}
		if limit, ok := brokerNumber(broker, g.higher); ok && wholeNumberOr(text, limit) > limit {
			text = fmt.Sprint(limit)
		}
		if _, err := g.setting.Parse(text); err == nil {
			texts[name] = text
		}
	}
	values, err := c.groupSchema.Defaults().With(config.FromDynamicBroker, texts)
	if err != nil {
		return c.groupSchema.Defaults() // cannot happen: each text was parsed
	}
	return values
}

func brokerNumber(broker *config.Values, name string) (int64, bool) {
	if name == "" {
		return 0, false
	}
	text, _, ok := broker.Text(name)
	if !ok {
		return 0, false
	}
	return wholeNumberOr(text, 0), true
}
