package client

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// settings is what the properties say, once read.
type settings struct {
	bootstrap   []string
	opts        []kgo.Opt
	dialTimeout time.Duration
	values      map[string]string // those that security is made of
}

// defaultDialTimeout is that of socket.connection.setup.timeout.ms.
const defaultDialTimeout = 10 * time.Second

func parse(properties map[string]string) (*settings, error) {
	s := &settings{dialTimeout: defaultDialTimeout, values: map[string]string{}}
	// In the order of names, so that of several faults always the same one is reported.
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		value := strings.TrimSpace(properties[name])
		apply, known := readers[name]
		switch {
		case known:
			if err := apply(s, value); err != nil {
				return nil, fmt.Errorf("property %s: %w", name, err)
			}
		case securityProperties[name]:
			// Not trimmed: a password may end with a space.
			s.values[name] = properties[name]
		case ignored(name):
		default:
			return nil, fmt.Errorf("property %s is not known", name)
		}
	}
	return s, nil
}

// securityProperties are read together, in security.go.
var securityProperties = map[string]bool{
	"security.protocol": true, "sasl.mechanism": true, "sasl.jaas.config": true, "sasl.username": true, "sasl.password": true,
	"ssl.ca.location": true, "ssl.certificate.location": true, "ssl.key.location": true, "ssl.ca.pem": true, "ssl.certificate.pem": true, "ssl.key.pem": true,
	"ssl.truststore.type": true, "ssl.truststore.location": true, "ssl.truststore.certificates": true, "ssl.truststore.password": true,
	"ssl.keystore.type": true, "ssl.keystore.location": true, "ssl.keystore.key": true, "ssl.keystore.certificate.chain": true,
	"ssl.keystore.password": true, "ssl.key.password": true, "ssl.endpoint.identification.algorithm": true,
	"sasl.oauthbearer.token.endpoint.url": true, "sasl.oauthbearer.client.credentials.client.id": true,
	"sasl.oauthbearer.client.credentials.client.secret": true, "sasl.oauthbearer.scope": true,
	"enable.ssl.certificate.verification": true, "ssl.enabled.protocols": true,
}

var readers = map[string]func(s *settings, value string) error{
	"bootstrap.servers": func(s *settings, value string) error {
		for b := range strings.SplitSeq(value, ",") {
			if b = strings.TrimSpace(b); b != "" {
				s.bootstrap = append(s.bootstrap, b)
			}
		}
		return nil
	},
	"client.id": func(s *settings, value string) error {
		s.opts = append(s.opts, kgo.ClientID(value))
		return nil
	},
	"client.rack": func(s *settings, value string) error {
		s.opts = append(s.opts, kgo.Rack(value))
		return nil
	},
	"request.timeout.ms":                 millis(1, kgo.RequestTimeoutOverhead),
	"metadata.max.age.ms":                millis(1, kgo.MetadataMaxAge),
	"connections.max.idle.ms":            millis(1, kgo.ConnIdleTimeout),
	"retries":                            integer(0, kgo.RequestRetries),
	"socket.connection.setup.timeout.ms": func(s *settings, value string) error { return setMillis(&s.dialTimeout, value) },
	"retry.backoff.ms": millis(0, func(d time.Duration) kgo.Opt {
		return kgo.RetryBackoffFn(func(attempt int) time.Duration { return backoff(d, attempt) })
	}),
}

// maxBackoff is Java's retry.backoff.max.ms.
const maxBackoff = time.Second

// backoff doubles with each attempt, from 1.
func backoff(first time.Duration, attempt int) time.Duration {
	return min(first<<min(max(attempt-1, 0), 10), max(first, maxBackoff))
}

func setMillis(to *time.Duration, value string) error {
	d, err := parseMillis(1, value)
	if err == nil {
		*to = d
	}
	return err
}

func parseMillis(least int64, value string) (time.Duration, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n < least || n > math.MaxInt32 {
		return 0, fmt.Errorf("want milliseconds from %d to %d, got %q", least, math.MaxInt32, value)
	}
	return time.Duration(n) * time.Millisecond, nil
}

func millis(least int64, opt func(time.Duration) kgo.Opt) func(*settings, string) error {
	return func(s *settings, value string) error {
		d, err := parseMillis(least, value)
		if err == nil {
			s.opts = append(s.opts, opt(d))
		}
		return err
	}
}

func integer(least int64, opt func(int) kgo.Opt) func(*settings, string) error {
	return func(s *settings, value string) error {
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil || n < least {
			return fmt.Errorf("want a number from %d to %d, got %q", least, math.MaxInt32, value)
		}
		s.opts = append(s.opts, opt(int(n)))
		return nil
	}
}

// ignored tells whether Java knows the property and it has no bearing here: what a client produces or consumes, and
// how, is set by its user, and the rest steers the Java machine.
func ignored(name string) bool {
	if javaOnly[name] {
		return true
	}
	for _, prefix := range []string{"sasl.kerberos.", "sasl.login.", "sasl.oauthbearer.", "metrics.", "metric.", "interceptor.", "auto.include.", "enable.metrics."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

var javaOnly = func() map[string]bool {
	names := `acks allow.auto.create.topics auto.commit.interval.ms auto.offset.reset batch.size buffer.memory check.crcs client.dns.lookup
		compression.type compression.gzip.level compression.lz4.level compression.zstd.level config.providers default.api.timeout.ms delivery.timeout.ms
		enable.auto.commit enable.idempotence exclude.internal.topics fetch.max.bytes fetch.max.wait.ms fetch.min.bytes group.id group.instance.id
		group.protocol group.remote.assignor heartbeat.interval.ms interceptor.classes isolation.level key.deserializer key.serializer linger.ms
		max.block.ms max.in.flight.requests.per.connection max.partition.fetch.bytes max.poll.interval.ms max.poll.records max.request.size
		metadata.max.idle.ms metadata.recovery.rebootstrap.trigger.ms metadata.recovery.strategy partition.assignment.strategy
		partitioner.adaptive.partitioning.enable partitioner.availability.timeout.ms partitioner.class partitioner.ignore.keys
		receive.buffer.bytes reconnect.backoff.max.ms reconnect.backoff.ms retry.backoff.max.ms
		sasl.client.callback.handler.class security.providers send.buffer.bytes session.timeout.ms socket.connection.setup.timeout.max.ms
		ssl.cipher.suites ssl.engine.factory.class ssl.keymanager.algorithm ssl.protocol ssl.provider ssl.secure.random.implementation ssl.trustmanager.algorithm
		transaction.timeout.ms transaction.two.phase.commit.enable transactional.id value.deserializer value.serializer
		api.version.request broker.address.family log.connection.close`
	out := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		out[name] = true
	}
	return out
}()
