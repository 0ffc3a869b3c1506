package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/weir-stream/weir/internal/base/config"
)

// The declarations that the tests use, with the shapes of Kafka's.
var (
	segmentBytes = config.Int("log.segment.bytes", 1<<30, config.Range(14, math.MaxInt32), config.Topic("segment.bytes"), config.Dynamic,
		"Size at which the active segment rolls, in bytes.")
	retentionHours   = config.Int("log.retention.hours", 168, "Hours.")
	retentionMinutes = config.Int("log.retention.minutes", 0, config.NoDefault, "Minutes.", config.Fallback(retentionHours, 60))
	retentionMs      = config.Millis("log.retention.ms", 0, config.NoDefault, config.Dynamic,
		config.Fallback(retentionMinutes, 60_000), config.Fallback(retentionHours, 3_600_000), "Milliseconds.")
	flushMessages = config.Long("log.flush.interval.messages", math.MaxInt64, config.AtLeast(1), "Records between flushes.")
	ratio         = config.Double("log.cleaner.min.cleanable.ratio", 0.5, config.Range(0, 1), "Share of dirty bytes.")
	replication   = config.Short("offsets.topic.replication.factor", 3, config.AtLeast(1), "Replicas.")
	autoCreate    = config.Bool("auto.create.topics.enable", true, "Create topics on first use.", config.Common)
	timestampType = config.String("log.message.timestamp.type", "CreateTime", config.OneOf("CreateTime", "LogAppendTime"), "Whose clock counts.")
	policy        = config.List("log.cleanup.policy", []string{"delete"}, config.OneOf("compact", "delete"), "What happens to old records.")
	mechanisms    = config.List("sasl.enabled.mechanisms", nil, config.Unique, "Mechanisms.")
	migration     = config.String("group.consumer.migration.policy", "bidirectional", config.OneOfFold("DISABLED", "BIDIRECTIONAL"), "Moves.")
	keyPassword   = config.Password("ssl.key.password", "Password of the private key.")
	dataDir       = config.String("data.dir", "./weir-data", config.NonEmpty, config.FlagName("data"), "Where data lives.")
	threads       = config.Int("num.io.threads", 0, config.DefaultFunc("twice the segment's kibibytes", func(v *config.Values) string {
		return fmt.Sprint(segmentBytes.Get(v) / 512)
	}), "Threads.")
	level = config.Int("compression.gzip.level", -1, config.Check("[1,...,9] or -1", func(v any) error {
		if n := v.(int64); n != -1 && (n < 1 || n > 9) {
			return errors.New("Value must be between 1 and 9 or equal to -1")
		}
		return nil
	}), "Effort.")
	rack = config.String("broker.rack", "", config.NoDefault, config.Inert, "Rack | zone.")
)

func schema(t testing.TB) *config.Schema {
	t.Helper()
	s, err := config.NewSchema(segmentBytes, retentionHours, retentionMinutes, retentionMs, flushMessages, ratio, replication, autoCreate,
		timestampType, policy, mechanisms, migration, keyPassword, dataDir, threads, level, rack)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestRefusedValuesReadAsKafkaWordsThem(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		key        config.Declared
		text, want string
	}{
		{segmentBytes, "x", "Invalid value x for configuration log.segment.bytes: Not a number of type INT"},
		{segmentBytes, "2147483648", "Invalid value 2147483648 for configuration log.segment.bytes: Not a number of type INT"},
		{segmentBytes, "1_000", "Invalid value 1_000 for configuration log.segment.bytes: Not a number of type INT"},
		{segmentBytes, "", "Invalid value  for configuration log.segment.bytes: Not a number of type INT"},
		{segmentBytes, " 5", "Invalid value 5 for configuration log.segment.bytes: Value must be at least 14"},
		{flushMessages, "1.5", "Invalid value 1.5 for configuration log.flush.interval.messages: Not a number of type LONG"},
		{replication, "40000", "Invalid value 40000 for configuration offsets.topic.replication.factor: Not a number of type SHORT"},
		{ratio, "1.5", "Invalid value 1.5 for configuration log.cleaner.min.cleanable.ratio: Value must be no more than 1"},
		{ratio, "-1", "Invalid value -1.0 for configuration log.cleaner.min.cleanable.ratio: Value must be at least 0"},
		{ratio, "0x1p-2", "Invalid value 0x1p-2 for configuration log.cleaner.min.cleanable.ratio: Not a number of type DOUBLE"},
		{ratio, "NaN", "Invalid value NaN for configuration log.cleaner.min.cleanable.ratio: Not a number of type DOUBLE"},
		{autoCreate, "yes", "Invalid value yes for configuration auto.create.topics.enable: Expected value to be either true or false"},
		{timestampType, "now", "Invalid value now for configuration log.message.timestamp.type: String must be one of: CreateTime, LogAppendTime"},
		{policy, "compact,keep", "Invalid value keep for configuration log.cleanup.policy: String must be one of: compact, delete"},
		{policy, "delete,x,delete", "Invalid value x for configuration log.cleanup.policy: String must be one of: compact, delete"},
		{policy, "delete,", "Configuration 'log.cleanup.policy' values must not be empty."},
		{mechanisms, "A,,A", "Configuration 'sasl.enabled.mechanisms' values must not be empty."},
		{migration, "x", "Invalid value x for configuration group.consumer.migration.policy: String must be one of (case insensitive): DISABLED, BIDIRECTIONAL"},
		{level, "0", "Invalid value 0 for configuration compression.gzip.level: Value must be between 1 and 9 or equal to -1"},
		{dataDir, " ", "Invalid value  for configuration data.dir: String must be non-empty"},
	} {
		_, err := c.key.Setting().Parse(c.text)
		if _, ok := errors.AsType[*config.ValueError](err); !ok || err.Error() != c.want {
			t.Errorf("%s=%q: got %v, want %s", c.key.Setting().Name(), c.text, err, c.want)
		}
	}
}

func TestAcceptedValuesAreRead(t *testing.T) {
	t.Parallel()
	v, err := schema(t).Defaults().With(config.FromFile, map[string]string{
		"log.segment.bytes": " 1024 ", "log.cleanup.policy": "", "sasl.enabled.mechanisms": "A , B,A", "auto.create.topics.enable": "FALSE",
		"log.cleaner.min.cleanable.ratio": "1", "group.consumer.migration.policy": "disabled", "log.flush.interval.messages": "+7",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := segmentBytes.Get(v); got != 1024 {
		t.Errorf("segment bytes: got %d, want 1024", got)
	}
	if got := policy.Get(v); len(got) != 0 {
		t.Errorf("policy: got %q, want none", got)
	}
	if got := mechanisms.Get(v); !slices.Equal(got, []string{"A", "B"}) {
		t.Errorf("mechanisms: got %q", got)
	}
	if autoCreate.Get(v) || ratio.Get(v) != 1 || migration.Get(v) != "disabled" || flushMessages.Get(v) != 7 {
		t.Errorf("got %v %v %v %v", autoCreate.Get(v), ratio.Get(v), migration.Get(v), flushMessages.Get(v))
	}
	if got := threads.Get(v); got != 2 {
		t.Errorf("computed default: got %d, want 2", got)
	}
	for name, want := range map[string]string{"log.cleaner.min.cleanable.ratio": "1.0", "sasl.enabled.mechanisms": "A,B", "num.io.threads": "2"} {
		if got, _, _ := v.Text(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestNilValuesReadAsDefaults(t *testing.T) {
	t.Parallel()
	if segmentBytes.Get(nil) != 1<<30 || retentionMs.Get(nil) != 168*time.Hour || timestampType.Get(nil) != "CreateTime" {
		t.Errorf("got %d %v %q", segmentBytes.Get(nil), retentionMs.Get(nil), timestampType.Get(nil))
	}
	if _, ok := keyPassword.Lookup(nil); ok {
		t.Error("a password has a default")
	}
}

func TestFallbackAsksFinerUnitsFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		set  map[string]string
		want time.Duration
	}{
		{nil, 168 * time.Hour},
		{map[string]string{"log.retention.hours": "1"}, time.Hour},
		{map[string]string{"log.retention.hours": "1", "log.retention.minutes": "2"}, 2 * time.Minute},
		{map[string]string{"log.retention.hours": "1", "log.retention.minutes": "2", "log.retention.ms": "3"}, 3 * time.Millisecond},
		{map[string]string{"log.retention.hours": "-1"}, -time.Millisecond},
		{map[string]string{"log.retention.ms": "9223372036854775807"}, math.MaxInt64},
	} {
		v, err := schema(t).Defaults().With(config.FromFile, c.set)
		if err != nil {
			t.Fatal(err)
		}
		if got := retentionMs.Get(v); got != c.want {
			t.Errorf("%v: got %v, want %v", c.set, got, c.want)
		}
	}
}

func TestLoadTakesTheStrongestSource(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	text := "log:\n  segment.bytes: 100\n  retention:\n    hours: 1\n    minutes: 1\nlog.cleanup.policy: [compact, delete]\nbroker.rack: 012\nssl.key.password:\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := schema(t)
	fs := pflag.NewFlagSet("weir", pflag.ContinueOnError)
	s.BindFlags(fs)
	if err := fs.Parse([]string{"--log-segment-bytes=400", "--auto-create-topics-enable", "--data", "/d"}); err != nil {
		t.Fatal(err)
	}
	v, err := s.Load(config.Sources{
		File:      file,
		Env:       []string{"WEIR_LOG_SEGMENT_BYTES=200", "WEIR_LOG_RETENTION_HOURS=2", "WEIR_LOG_RETENTION_MINUTES=2", "HOME=/", "WEIR_TRACE=1"},
		IgnoreEnv: []string{"WEIR_TRACE"},
		Set:       []string{"log.segment.bytes=300", "log.retention.minutes=3"},
		Flags:     fs,
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"log.segment.bytes": "400 flag flag --log-segment-bytes", "log.retention.minutes": "3 set --set",
		"log.retention.hours": "2 env env WEIR_LOG_RETENTION_HOURS", "log.cleanup.policy": "compact,delete file " + file + ":6",
		"broker.rack": "012 file " + file + ":7", "data.dir": "/d flag flag --data", "auto.create.topics.enable": "true flag flag --auto-create-topics-enable",
	} {
		e, _ := v.Explicit(name)
		if got := fmt.Sprintf("%s %s %s", e.Text, e.Origin, e.Where); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if _, ok := v.Explicit("ssl.key.password"); ok {
		t.Error("an empty entry of the file counts as set")
	}
	if fs.Lookup("log-segment-bytes").Hidden == false || fs.Lookup("data").Hidden {
		t.Error("help must show common flags and only those")
	}
}

func TestLoadTellsAllMistakesWithPlaceAndCure(t *testing.T) {
	t.Parallel()
	s := schema(t)
	_, err := s.Load(config.Sources{
		Env: []string{"WEIR_LOG_SEGMENT_BYTE=1", "WEIR_SSL_KEY_PASSWORD=geheim"},
		Set: []string{"log.segment.byte=1", "log.segment.bytes=x", "nonsense", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz=1"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		`env WEIR_LOG_SEGMENT_BYTE: unknown setting "WEIR_LOG_SEGMENT_BYTE" (did you mean "WEIR_LOG_SEGMENT_BYTES"?)`,
		`--set: unknown setting "log.segment.byte" (did you mean "log.segment.bytes"?)`,
		`--set: Invalid value x for configuration log.segment.bytes: Not a number of type INT; allowed: [14,...,2147483647]`,
		`--set "nonsense": want name=value`,
		`--set: unknown setting "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"`,
	} {
		if !slices.Contains(strings.Split(err.Error(), "\n"), want) {
			t.Errorf("missing %q in:\n%v", want, err)
		}
	}
	if _, ok := errors.AsType[*config.UnknownError](err); !ok {
		t.Error("an unknown name cannot be told by its type")
	}
}

func TestYAMLRefusesWhatIsNoListOfSettings(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"- a", "line 1: want a list of name: value"},
		{"log.segment.bytes: {}\nx: 1", "unknown setting \"x\""},
		{"log.cleanup.policy: [[a]]", "line 1: sequence is no value of a setting"},
		{"log.segment.bytes: &a 1", "line 1: anchor is no value of a setting"},
		{"log.segment.bytes: 1\nlog.segment.bytes: 2", ""},
		{"log:\n  segment.bytes: 100\nlog.segment.bytes: 200", "line 3: log.segment.bytes was set on line 2 already"},
		{"log.segment.bytes: 100\n---\nlog.segment.bytes: 200", "more than one document"},
		{"log.segment.bytes: [", ""},
	} {
		text, want := c[0], c[1]
		_, err := schema(t).LoadYAML("weir.yaml", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"", "# nothing\n", "---\n", "null\n", "log:\n", "log.segment.bytes: 0x400\n"} {
		if _, err := schema(t).LoadYAML("weir.yaml", []byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWithLeavesTheOldValuesAndStrongerOrigins(t *testing.T) {
	t.Parallel()
	old, err := schema(t).Defaults().With(config.FromFlag, map[string]string{"log.segment.bytes": "100"})
	if err != nil {
		t.Fatal(err)
	}
	weaker, err := old.With(config.FromFile, map[string]string{"log.segment.bytes": "200"})
	if err != nil || segmentBytes.Get(weaker) != 100 {
		t.Errorf("a file beat a flag: %d, %v", segmentBytes.Get(weaker), err)
	}
	dynamic, err := old.With(config.FromDynamicBroker, map[string]string{"log.segment.bytes": "300"})
	if err != nil || segmentBytes.Get(dynamic) != 300 || segmentBytes.Get(old) != 100 {
		t.Errorf("got %d and %d, %v", segmentBytes.Get(dynamic), segmentBytes.Get(old), err)
	}
}

func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	s := schema(t)
	v, err := s.Load(config.Sources{Set: []string{"ssl.key.password=geheim"}})
	if err != nil {
		t.Fatal(err)
	}
	secret := keyPassword.Get(v)
	var out strings.Builder
	fmt.Fprintf(&out, "%v %s %q %+v %#v %x", secret, secret, secret, secret, secret, secret)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", secret)
	if err := config.Show(&out, v, true, true); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "geheim") || strings.Contains(out.String(), "67656865696d") {
		t.Errorf("a secret shows in %s", out.String())
	}
	if secret.Reveal() != "geheim" {
		t.Errorf("got %q", secret.Reveal())
	}
}

func TestSchemaRefusesNamesThatCollide(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]config.Declared{
		{config.Int("a.b", 0, "x"), config.Long("a.b", 0, "x")},
		{config.Int("a.b", 0, "x"), config.Long("a-b", 0, "x")},
		{config.Int("a.b", 0, "x"), config.Int("c", 0, config.FlagName("a-b"), "x")},
	} {
		if _, err := config.NewSchema(pair[0], pair[1]); err == nil {
			t.Errorf("%s and %s live together", pair[0].Setting().Name(), pair[1].Setting().Name())
		}
	}
	s, err := schema(t).WithKnown(config.Int("log.segment.bytes", 5, "x"), config.Int("other", 5, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, _, _ := s.Defaults().Text("log.segment.bytes"); got != "1073741824" {
		t.Errorf("a catalogue replaced a declaration: %s", got)
	}
}

func TestMistakesInDeclarationsPanic(t *testing.T) {
	t.Parallel()
	for name, declare := range map[string]func(){
		"no documentation": func() { config.Int("a", 1) },
		"bad default":      func() { config.Int("a", 1, config.AtLeast(2), "x") },
		"stray argument":   func() { config.Int("a", 1, 7, "x") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("accepted")
				}
			}()
			declare()
		})
	}
}

func TestShowAndDocs(t *testing.T) {
	t.Parallel()
	s := schema(t)
	v, err := s.Load(config.Sources{Set: []string{"log.segment.bytes=100", "broker.rack=null", "ssl.key.password=x"}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := config.Show(&out, v, false, true); err != nil {
		t.Fatal(err)
	}
	want := "broker.rack: \"null\"  # --set\nlog.segment.bytes: 100  # --set\n# ssl.key.password: [hidden]  # --set\n"
	if out.String() != want {
		t.Errorf("got:\n%swant:\n%s", out.String(), want)
	}
	out.Reset()
	if err := config.Markdown(&out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `log.segment.bytes` | int | `1073741824` | `[14,...,2147483647]` | cluster-wide | `topic segment.bytes` | Size at which the active segment rolls, in bytes. |",
		"| `log.retention.ms` | long |  |  | cluster-wide |  | Milliseconds. If it is not set, log.retention.minutes, then log.retention.hours counts. |",
		"| `broker.rack` | string |  |  | read-only |  | Rack \\| zone. |",
	} {
		if !strings.Contains(out.String(), want+"\n") {
			t.Errorf("missing %s in\n%s", want, out.String())
		}
	}
}
