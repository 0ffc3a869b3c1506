package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// configured runs a command with a settings file in place of FILE.
func configured(t *testing.T, file, line string) (code int, out, errOut string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "weir.yaml")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	s, o, e := testSession("")
	code = run(t.Context(), s, words(t, strings.ReplaceAll(line, "FILE", path)))
	return code, o.String(), strings.ReplaceAll(e.String(), path, "FILE")
}

func TestConfigShowTellsValuesAndOrigins(t *testing.T) {
	t.Parallel()
	const file = "num.partitions: 4\nlog:\n  retention.hours: 24\nzookeeper.connect: x\n"
	for _, c := range []struct{ line, want string }{
		{
			"config show -c FILE --changed -o table --set default.replication.factor=1 --num-partitions 5 --set sasl.kerberos.service.name=k",
			"NAME                        VALUE  NOTE\ndefault.replication.factor  1\nlog.retention.hours         24\nnum.partitions              5\nsasl.kerberos.service.name  k      has no effect in Weir\n",
		},
		{
			"config show -c FILE --changed -o yaml --origin --set num.replica.fetchers=4",
			"log.retention.hours: 24  # FILE:3\nnum.partitions: 4  # FILE:1\nnum.replica.fetchers: 4  # --set  # has no effect in Weir\n",
		},
		{"config show num.partitions -o ndjson", `{"name":"num.partitions","value":"1","origin":"default"}` + "\n"},
		{"config show log.retention.bytes num -o table --origin", "NAME                 VALUE  ORIGIN   NOTE\nlog.retention.bytes  -1     default\nnum.partitions       1      default\n"},
	} {
		code, out, errOut := configured(t, strings.Replace(file, "zookeeper.connect: x\n", "", 1), c.line)
		// The name of the file differs from run to run.
		out = fileName(out)
		if code != exitDone || out != c.want {
			t.Errorf("weir %s: exit code %d\n%s%s\nwant\n%s", c.line, code, out, errOut, c.want)
		}
	}
	if code, _, errOut := configured(t, file, "config show -c FILE"); code != exitUsage || !strings.Contains(errOut, `FILE:4: unknown setting "zookeeper.connect"`) {
		t.Errorf("an unknown setting: exit code %d, %s", code, errOut)
	}
}

// fileName puts FILE for the path of a settings file.
func fileName(text string) string {
	if i := strings.Index(text, "/"); i >= 0 && strings.Contains(text, "weir.yaml") {
		end := strings.Index(text, "weir.yaml") + len("weir.yaml")
		return fileName(text[:i] + "FILE" + text[end:])
	}
	return text
}

func TestConfigShowRoundTrips(t *testing.T) {
	t.Parallel()
	_, before, _ := configured(t, "", "config show --all -o yaml --set broker.rack=a:b --set num.partitions=7")
	code, after, errOut := configured(t, before, "config show --all -o yaml -c FILE")
	if code != exitDone || after != before {
		t.Errorf("exit code %d, %s; the settings differ after a round", code, errOut)
	}
}

func TestServerRefusesWrongSettingsByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{"server --set num.partition=3", `unknown setting "num.partition" (did you mean "num.partitions"?)`},
		{"server --num-partition 3", "unknown flag: --num-partition; did you mean --num-partitions?"},
		{"server --num-partitions 0", "flag --num-partitions"},
		{"server --set listeners=PLAINTEXT://:1,PLAINTEXT://:2", "listener PLAINTEXT is there twice"},
		{"server --set listeners=INTERNAL://:9093", "does not say what the listener INTERNAL speaks"},
		{"server --set listeners=localhost:9092", "is not NAME://host:port"},
		{"server --set advertised.listeners=SSL://a:1", "there is no listener SSL"},
		{"server --set listener.security.protocol.map=A:TLS", "listener.security.protocol.map"},
		{"server --set sasl.enabled.mechanisms=GSSAPI", "GSSAPI (Kerberos) is not supported"},
		{"server --set ssl.key.password=hunter2", "on a command line"},
		{"server --set listener.name.x.plain.sasl.jaas.config=hunter2", "on a command line"},
		{"server --ssl-key-password hunter2", "unknown flag"},
		{"server --set listeners=PLAINTEXT://:9092 --kafka-listen :9093", "settings kafka.listen and listeners say different addresses"},
		{"server --kafka-listen localhost", "setting kafka.listen"},
		{"server --kafka-advertise 0.0.0.0:9092", "clients cannot connect to 0.0.0.0"},
		{"server --set advertised.listeners=PLAINTEXT://:9092", "needs a host and a port"},
		{"server --blob s3://x", "flag --blob"},
	} {
		if code, _, errOut := configured(t, "", c.line); code != exitUsage || !strings.Contains(errOut, c.want) || strings.Contains(errOut, "hunter2") {
			t.Errorf("weir %s: exit code %d, %q; want 2 and %q", c.line, code, errOut, c.want)
		}
	}
}

// TestKafkasSettingsAreAccepted takes what people give the brokers that they test against, whether it acts yet or not.
func TestKafkasSettingsAreAccepted(t *testing.T) {
	t.Parallel()
	line := "config show --changed -o table"
	for _, set := range []string{
		"auto.create.topics.enable=true", "group.initial.rebalance.delay.ms=0", "group.min.session.timeout.ms=0", "group.streams.min.session.timeout.ms=100",
		"group.streams.min.heartbeat.interval.ms=100", "group.streams.initial.rebalance.delay.ms=0", "group.share.max.partition.max.record.locks=10000",
		"group.share.partition.max.record.locks=10000", "group.share.record.lock.duration.ms=15000", "offsets.topic.num.partitions=5",
		"transaction.state.log.num.partitions=5", "share.coordinator.state.topic.num.partitions=3",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "allow.everyone.if.no.acl.found=true",
		"num.replica.fetchers=4",
	} {
		line += " --set " + set
	}
	code, out, errOut := configured(t, "", line)
	if code != exitDone || strings.Count(out, "\n") != 16 {
		t.Errorf("exit code %d, %s\n%s", code, errOut, out)
	}
	if !regexp.MustCompile(`(?m)^num.replica.fetchers +4 +has no effect in Weir$`).MatchString(out) {
		t.Errorf("a setting without effect is not marked:\n%s", out)
	}
}
