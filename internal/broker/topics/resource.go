package topics

import (
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

// ResourceType is the kind of a thing that has configs, with Kafka's numbers.
type ResourceType int8

// The kinds.
const (
	TopicResource ResourceType = 2
	Broker        ResourceType = 4
	BrokerLogger  ResourceType = 8
	ClientMetrics ResourceType = 16
	Group         ResourceType = 32
)

// Resource names a thing that has configs. The broker "" stands for all brokers.
type Resource struct {
	Type ResourceType
	Name string
}

// What keys of configs call kinds of resources.
const (
	brokerKind  = "broker"
	groupKind   = "group"
	metricsKind = "metrics"
)

// defaultBroker stands in keys for the broker "".
const defaultBroker = "default"

// maxResources bounds the groups, and the subscriptions, that have configs: clients choose their names.
const maxResources = 100_000

// key is where the configs of a broker, group or subscription are kept.
func (r Resource) key() (string, error) {
	kind := map[ResourceType]string{Broker: brokerKind, Group: groupKind, ClientMetrics: metricsKind}[r.Type]
	name := url.PathEscape(r.Name)
	if r.Type == Broker && r.Name == "" {
		name = defaultBroker
	}
	key := configPrefix + kind + "/" + name
	if len(key) > meta.MaxKeyBytes {
		return "", kafka.Errorf(kafka.InvalidRequest, "The name of the resource is too long.")
	}
	return key, nil
}

// brokerName is the name under which this broker or all brokers are kept, or why it is neither. action is how Kafka's text
// calls the number: it differs between describing and altering.
func (s *Store) brokerName(name string) (string, error) {
	if name == "" {
		return "", nil
	}
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return "", kafka.Errorf(kafka.InvalidRequest, "Node id must be an integer, but it is: %s", name)
	}
	if int32(id) != s.o.NodeID {
		return "", kafka.Errorf(kafka.InvalidRequest, "Unexpected broker id, expected %d, but received %s", s.o.NodeID, name)
	}
	return strconv.FormatInt(id, 10), nil
}

func unknownType(t ResourceType) error {
	return kafka.Errorf(kafka.InvalidRequest, "Unknown resource type %d", t)
}

// Resources lists the things that have configs, or could have: all topics and this broker, and those groups and
// subscriptions for which something was set. No types means all of them; an unknown one yields UnsupportedVersion.
func (s *Store) Resources(types ...ResourceType) ([]Resource, error) {
	known := []ResourceType{Group, ClientMetrics, BrokerLogger, Broker, TopicResource}
	for _, t := range types {
		if !slices.Contains(known, t) {
			return nil, kafka.UnsupportedVersion
		}
	}
	v := s.View()
	var out []Resource
	for _, t := range known {
		if len(types) > 0 && !slices.Contains(types, t) {
			continue
		}
		var names []string
		switch t {
		case Group:
			names = v.GroupsWithConfigs()
		case ClientMetrics:
			names = v.ClientMetrics()
		case Broker, BrokerLogger:
			names = []string{v.nodeID}
		case TopicResource:
			for _, topic := range v.All() {
				names = append(names, topic.Name)
			}
		}
		for _, n := range names {
			out = append(out, Resource{t, n})
		}
	}
	return out, nil
}

// levels are Kafka's names for what slog has.
var levels = map[string]slog.Level{
	"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError + 4,
}

// rootLogger is the only logger there is.
const rootLogger = "root"

func levelName(l slog.Level) string {
	names := sortedKeys(levels)
	slices.SortFunc(names, func(a, b string) int { return int(levels[a] - levels[b]) })
	name := names[0]
	for _, n := range names {
		if levels[n] <= l {
			name = n
		}
	}
	return name
}

func (s *Store) alterLogger(r Resource, changes []Change, validateOnly bool) error {
	id, err := strconv.ParseInt(r.Name, 10, 32)
	if err != nil {
		return kafka.Errorf(kafka.InvalidRequest, "Node id must be an integer, but it is: %s", r.Name)
	}
	if int32(id) != s.o.NodeID {
		return kafka.Errorf(kafka.InvalidRequest, "Unexpected node id. Expected %d, but received %d", s.o.NodeID, id)
	}
	for _, c := range changes {
		switch {
		case c.Op == Append || c.Op == Subtract:
			return kafka.Errorf(kafka.InvalidRequest, "%s operation is not allowed for the BROKER_LOGGER resource", c.Op)
		case c.Name != rootLogger || s.o.Level == nil:
			return kafka.Errorf(kafka.InvalidConfig, "Logger %s does not exist!", c.Name)
		case c.Op == Delete:
			return kafka.Errorf(kafka.InvalidRequest, "Removing the log level of the root logger is not allowed")
		}
		if _, ok := levels[*c.Value]; !ok {
			return kafka.Errorf(kafka.InvalidConfig, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are %s",
				c.Name, *c.Value, strings.Join(slices.Sorted(maps.Keys(levels)), ", "))
		}
	}
	for _, c := range changes {
		if !validateOnly {
			s.o.Level.Set(levels[*c.Value])
			s.o.Logger.Info("log level was changed", "logger", c.Name, "level", *c.Value)
		}
	}
	return nil
}

// Op is what a Change does, with Kafka's numbers.
type Op int8

// The operations. Append and Subtract are for lists.
const (
	Set Op = iota
	Delete
	Append
	Subtract
)

// String is Kafka's name.
func (o Op) String() string {
	if names := [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}; o >= 0 && int(o) < len(names) {
		return names[o]
	}
	return fmt.Sprintf("operation %d", int8(o))
}

// Change is one change of a config.
type Change struct {
	Name  string
	Op    Op
	Value *string // nil only for Delete
}
