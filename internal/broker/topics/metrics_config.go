package topics

import (
	"regexp"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
)

// The configs of a client-metrics subscription (KIP-714).
var (
	MetricsInterval = config.Int("interval.ms", 300_000, "Milliseconds between two pushes of a client's metrics.")
	MetricsNames    = config.List("metrics", nil, config.Option(config.Unique), "Prefixes of the metrics that are asked for; * is all of them.")
	MetricsMatch    = config.List("match", nil, config.Option(config.Unique), "Which clients are asked: property=regular expression, all of which must fit.")
)

func newMetricsConfigs() []*config.Setting {
	return []*config.Setting{MetricsInterval.Setting(), MetricsNames.Setting(), MetricsMatch.Setting()}
}

const (
	minMetricsIntervalMs = 100
	maxMetricsIntervalMs = 3_600_000
)

var metricsProperties = []string{
	"client_id", "client_instance_id", "client_software_name", "client_software_version", "client_source_address", "client_source_port",
}

func (c *catalogue) checkMetricsConfigs(name string, overrides map[string]string) error {
	if name == "" {
		return kafka.Errorf(kafka.InvalidRequest, "Subscription name can't be empty")
	}
	for _, n := range sortedKeys(overrides) {
		s, ok := c.metricsSchema.Lookup(n)
		if !ok {
			return kafka.Errorf(kafka.InvalidRequest, "Unknown client metrics configuration: %s", n)
		}
		value, err := s.Parse(overrides[n])
		if err != nil {
			return kafka.Errorf(kafka.InvalidConfig, "%s", err.Error())
		}
		switch v := value.(type) {
		case int64:
			if v < minMetricsIntervalMs || v > maxMetricsIntervalMs {
				return kafka.Errorf(kafka.InvalidRequest, "Invalid value %d for %s, interval must be between 100 and 3600000 (1 hour)", v, n)
			}
		case []string:
			if n == MetricsMatch.Name() {
				if err := checkMatch(v); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func checkMatch(patterns []string) error {
	for _, p := range patterns {
		// Kafka splits at every "=": more than one, or nothing behind it, is no pattern.
		property, expression, ok := strings.Cut(p, "=")
		if ok && expression != "" && !strings.Contains(expression, "=") && slices.Contains(metricsProperties, strings.TrimSpace(property)) {
			if _, err := regexp.Compile(strings.TrimSpace(expression)); err == nil {
				continue
			}
		}
		return kafka.Errorf(kafka.InvalidConfig, "Illegal client matching pattern: %s", p)
	}
	return nil
}
