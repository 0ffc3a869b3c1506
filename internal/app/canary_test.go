package app_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/app/datadir"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/seal/kms"
)

// canaryServer is a server on the disk with a secret in every setting that can hold one, and those secrets.
type canaryServer struct {
	*app.App
	log     *logBuffer
	dir     string
	secrets []string
	stop    func()
}

// canary is a secret that nothing else looks like.
func canary(kind string) string { return "canary-" + kind + "-9b1c" }

func startCanary(t *testing.T, encrypted bool) *canaryServer {
	t.Helper()
	s := &canaryServer{log: &logBuffer{}, dir: filepath.Join(t.TempDir(), "data")}
	outside := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(outside, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("CANARY_JAAS", canary("env"))
	set := []string{
		"data=" + s.dir, "admin.listen=127.0.0.1:0", "listeners=PLAINTEXT://127.0.0.1:0,SASL_PLAINTEXT://127.0.0.1:0", "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,OAUTHBEARER",
		"sasl.oauthbearer.expected.issuer=http://127.0.0.1:1", "sasl.oauthbearer.expected.audience=weir", "connection.failed.authentication.delay.ms=0",
		"bootstrap.users.file=" + file("users", "admin:"+canary("bootstrap")+"\n"), "delegation.token.secret.key=${file:" + file("p.properties", "token="+canary("file")+"\n") + ":token}",
		"listener.name.sasl_plaintext.plain.sasl.jaas.config=x required user_env=\"${env:CANARY_JAAS}\";", "config.providers.allowed.env=CANARY_", "config.providers.allowed.paths=" + outside,
		"ssl.key.password=" + canary("key"), "audit.enable=true", "audit.categories=management,authentication,denied,describe", "storage.wal.file.bytes=4194304", "storage.shards=1",
		"offsets.topic.num.partitions=1",
	}
	for _, kind := range []string{"env", "bootstrap", "file", "key", "scram", "plain", "oauth", "altered"} {
		s.secrets = append(s.secrets, canary(kind))
	}
	if encrypted {
		s.secrets = append(s.secrets, strings.Repeat("e", 64))
		set = append(set, "encryption.key="+keyFile(t, "e"))
	}
	schema, err := app.Schema()
	if err != nil {
		t.Fatal(err)
	}
	v, err := schema.Load(config.Sources{Set: set})
	if err != nil {
		t.Fatal(err)
	}
	s.App = app.New(app.Options{Values: v, Version: "test", Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))})
	s.stop = runApp(t, s.App)
	return s
}

// give puts secrets in by the protocol, and returns all that was answered.
func (s *canaryServer) give(t *testing.T) string {
	t.Helper()
	var seen strings.Builder
	at := s.Addresses()
	cl := connect(t, at["kafka"], nil)
	adm := kadm.NewClient(cl)
	users, err := adm.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: "x", Mechanism: kadm.ScramSha256, Iterations: 4096, Password: canary("scram")}})
	fmt.Fprintln(&seen, users, err)
	for _, p := range []map[string]string{
		login("PLAIN", "env", canary("env")), login("PLAIN", "nobody", canary("plain")), login("SCRAM-SHA-256", "x", canary("scram")), login("SCRAM-SHA-256", "admin", canary("plain")),
		{"sasl.mechanism": "OAUTHBEARER", "sasl.jaas.config": `x required token="` + canary("oauth") + `";`},
	} {
		p["security.protocol"] = "SASL_PLAINTEXT"
		fmt.Fprintln(&seen, connect(t, at["kafka.sasl_plaintext"], p, kgo.RequestRetries(0)).Ping(t.Context()))
	}
	admin := login("PLAIN", "admin", canary("bootstrap"))
	admin["security.protocol"] = "SASL_PLAINTEXT"
	token, err := kmsg.NewPtrCreateDelegationTokenRequest().RequestWith(t.Context(), connect(t, at["kafka.sasl_plaintext"], admin))
	if err != nil || token.ErrorCode != 0 {
		t.Fatalf("make a token: %v, %+v", err, token)
	}
	s.secrets = append(s.secrets, string(token.HMAC), base64.StdEncoding.EncodeToString(token.HMAC)) // for its owner's eyes only
	for _, name := range []string{"listener.name.plaintext.ssl.key.password", "ssl.key.password", "listener.name.sasl_plaintext.plain.sasl.jaas.config", "sasl.jaas.config", "unknown.password"} {
		value := new(canary("altered"))
		altered, err := adm.AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: name, Value: value}}, 1)
		fmt.Fprintln(&seen, altered, err)
		replaced := kmsg.NewPtrAlterConfigsRequest()
		r := kmsg.NewAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		c := kmsg.NewAlterConfigsRequestResourceConfig()
		c.Name, c.Value = "listener.name.plaintext.ssl.key.password", value
		r.Configs = append(r.Configs, c)
		replaced.Resources = append(replaced.Resources, r)
		res, err := replaced.RequestWith(t.Context(), cl)
		fmt.Fprintf(&seen, "%+v %v\n", res, err)
	}
	configs, err := adm.DescribeBrokerConfigs(t.Context(), 1)
	for _, r := range configs {
		for _, c := range r.Configs {
			fmt.Fprintln(&seen, c.Key, c.MaybeValue(), c.Synonyms, err)
			for _, y := range c.Synonyms {
				if y.Value != nil {
					fmt.Fprintln(&seen, *y.Value)
				}
			}
		}
	}
	_, metrics := get(t, "http://"+at["admin"]+"/metrics")
	run, err := os.ReadFile(filepath.Join(s.dir, "run.json"))
	fmt.Fprintln(&seen, metrics, string(run), err)
	for _, e := range auditEvents(t, at["kafka"], 8) {
		fmt.Fprintf(&seen, "%+v %+v\n", e, e.Data.Authentication)
	}
	return seen.String()
}

// TestSecretsStayInTheMetadata gives a server on the disk secrets by every way there is, and looks for them in its log, its
// answers, its metrics, its audit log, what 'weir dump meta' reads, and every file of its data directory.
func TestSecretsStayInTheMetadata(t *testing.T) { //nolint:paralleltest // an environment variable is set
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("encrypted=%v", encrypted), func(t *testing.T) { //nolint:paralleltest // as above
			s := startCanary(t, encrypted)
			seen := s.give(t)
			s.stop()
			o := datadir.Options{Root: s.dir}
			if encrypted {
				k, err := kms.Open(t.Context(), keyFile(t, "e"))
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { k.Close() })
				o.Keeper = k
			}
			d, err := datadir.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			var shown bytes.Buffer
			for _, e := range d.Metadata {
				fmt.Fprintf(&shown, "%s %+v %v\n", e.Key, e.Value, e.Problem)
			}
			for _, secret := range s.secrets {
				for what, text := range map[string]string{"an answer, metric or audit event": seen, "the log": s.log.String(), "weir dump meta": shown.String()} {
					if strings.Contains(text, secret) {
						t.Errorf("%s shows %q", what, secret)
					}
				}
				for _, file := range findInFiles(t, s.dir, secret) {
					inMeta := strings.HasPrefix(file, filepath.Join(s.dir, "meta"))
					if encrypted || !inMeta || secret != canary("altered") {
						t.Errorf("%s holds %q", file, secret)
					}
				}
			}
			if !encrypted && len(findInFiles(t, s.dir, canary("altered"))) == 0 {
				t.Error("nothing was altered")
			}
		})
	}
}
