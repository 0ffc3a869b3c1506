package rest

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/secret"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/platform/rest/webhook"
)

// Settings of the REST proxy. Where it listens is declared by the assembly.
var (
	RegistryURL = config.String("schema.registry.url", "", config.Common,
		"Schema Registry that the REST proxy asks, as http://HOST:PORT. Empty: the one in the same process, if there is one.")
	RegistryUser = config.Password("schema.registry.basic.auth.user.info",
		"USER:PASSWORD that the REST proxy shows to schema.registry.url, for all callers. The registry in the same process sees each caller himself.")
	RequestBytes = config.Long("rest.request.max.bytes", 32<<20, config.Range(int64(1024), int64(1<<30)),
		"Largest body with records that the REST proxy takes, also after it is unpacked.")
	BufferBytes = config.Long("rest.buffer.max.bytes", 256<<20, config.AtLeast(int64(1<<20)),
		"Bytes of all bodies with records that the REST proxy works on at a time; further requests wait.")
	BatchEntries = config.Int("rest.batch.max.entries", 1000, config.Range(1, 100_000),
		"Most records in one request to records:batch.")
	ConsumersMax = config.Int("rest.consumer.max.instances", 1000, config.AtLeast(1),
		"Most consumer instances of the REST proxy at a time.")
	ConsumerIdle = config.Millis("rest.consumer.instance.timeout.ms", 5*time.Minute, config.AtLeast(1000),
		"Time after which a consumer instance of the REST proxy that nobody uses is deleted.")
	ConsumerBytes = config.Int("rest.consumer.request.max.bytes", 64<<20, config.Range(1024, 1<<30),
		"Bytes of keys and values in one answer to a consumer of the REST proxy, at most.")
	ReadersMax = config.Int("rest.stream.max.readers", 10_000, config.AtLeast(1),
		"Most readers of streams of the REST proxy at a time.")
	Heartbeat = config.Millis("rest.stream.heartbeat.ms", 15*time.Second, config.AtLeast(100),
		"Time after which a quiet stream of the REST proxy sends a sign of life.")
	Webhooks = config.List("rest.webhooks", nil, config.Check("NAME:KIND:TOPIC:SECRET, with KIND one of github, stripe, generic, and SECRET env:VARIABLE or file:PATH", checkWebhooks),
		"Services that may call POST /webhooks/NAME. Each is NAME:KIND:TOPIC:SECRET: how its requests are signed (github, stripe or generic), the topic they go to, and where the shared secret is, env:VARIABLE or file:PATH.")
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return []config.Declared{
		RegistryURL, RegistryUser, RequestBytes, BufferBytes, BatchEntries, ConsumersMax, ConsumerIdle, ConsumerBytes, ReadersMax, Heartbeat, Webhooks,
	}
}

// LimitsOf reads the limits that are settings.
func LimitsOf(v *config.Values) Limits {
	return Limits{
		RequestBytes: RequestBytes.Get(v), BufferBytes: BufferBytes.Get(v), BatchEntries: BatchEntries.Get(v), Consumers: ConsumersMax.Get(v),
		ConsumerIdle: ConsumerIdle.Get(v), ConsumerBytes: ConsumerBytes.Get(v), Readers: ReadersMax.Get(v), Heartbeat: Heartbeat.Get(v),
	}
}

var webhookName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

// parseWebhook reads one webhook; where says where its secret is.
func parseWebhook(text string) (w Webhook, where string, err error) {
	parts := strings.SplitN(text, ":", 4)
	if len(parts) != 4 {
		return w, "", fmt.Errorf("%q is not NAME:KIND:TOPIC:SECRET", text)
	}
	w = Webhook{Name: parts[0], Topic: parts[2], Check: webhook.Check{Kind: webhook.Kind(parts[1])}}
	switch {
	case !webhookName.MatchString(w.Name):
		return w, "", fmt.Errorf("webhook %q: a name is of letters, digits, dots, dashes and underscores", w.Name)
	case !slices.Contains(webhook.Kinds(), parts[1]):
		return w, "", fmt.Errorf("webhook %s: %q is not one of %s", w.Name, parts[1], strings.Join(webhook.Kinds(), ", "))
	}
	if err := kafka.ValidateTopicName(w.Topic); err != nil {
		return w, "", fmt.Errorf("webhook %s: topic %q: %w", w.Name, w.Topic, err)
	}
	if !strings.HasPrefix(parts[3], "env:") && !strings.HasPrefix(parts[3], "file:") {
		return w, "", fmt.Errorf("webhook %s: the secret is not given itself, but by env:VARIABLE or file:PATH", w.Name)
	}
	return w, parts[3], nil
}

func checkWebhooks(v any) error {
	list, ok := v.([]string)
	if !ok {
		return errors.New("not a list")
	}
	seen := map[string]bool{}
	for _, text := range list {
		w, _, err := parseWebhook(text)
		if err != nil {
			return err
		}
		if seen[w.Name] {
			return fmt.Errorf("webhook %s is there twice", w.Name)
		}
		seen[w.Name] = true
	}
	return nil
}

// WebhooksOf reads the webhooks of the settings, and their secrets.
func WebhooksOf(v *config.Values) ([]Webhook, error) {
	var out []Webhook
	for _, text := range Webhooks.Get(v) {
		w, where, err := parseWebhook(text)
		if err != nil {
			return nil, err
		}
		var found string
		if name, ok := strings.CutPrefix(where, "env:"); ok {
			found = os.Getenv(name)
		} else {
			b, err := os.ReadFile(strings.TrimPrefix(where, "file:"))
			if err != nil {
				return nil, fmt.Errorf("secret of webhook %s: %w", w.Name, err)
			}
			found = strings.TrimRight(string(b), "\r\n")
		}
		if found == "" {
			return nil, fmt.Errorf("secret of webhook %s: %s is empty", w.Name, where)
		}
		w.Check.Secret = secret.New(found)
		out = append(out, w)
	}
	return out, nil
}
