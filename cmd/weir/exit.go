package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/blob/s3"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error of the one who typed: exit code 2.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usageErrorf(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// fixError is an error together with what to do about it.
type fixError struct {
	err error
	fix string
}

func (e *fixError) Error() string { return e.err.Error() }
func (e *fixError) Unwrap() error { return e.err }

// withFix adds the way out to an error. It returns nil for nil.
func withFix(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &fixError{err, fmt.Sprintf(format, args...)}
}

func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if _, ok := errors.AsType[*usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}

// describeError returns what a person reads on standard error: what went wrong and, where one is known, the fix.
func describeError(err error, s *session) string {
	out := "weir: " + err.Error() + "\n"
	if fix := fixFor(err, s); fix != "" {
		out += "  fix: " + fix + "\n"
	}
	return out
}

func fixFor(err error, s *session) string {
	if e, ok := errors.AsType[*fixError](err); ok {
		return e.fix
	}
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return kafkaFixes[ke.Code]
	}
	if e, ok := errors.AsType[*app.StoreError](err); ok {
		return storeFix(e.Setting, err)
	}
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("start a server with 'weir server', or name another with --bootstrap host:port (tried %s)", strings.Join(s.seeds(), ","))
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there: stop it, or choose another address with --kafka-listen, --admin-listen, --registry-listen or --rest-listen (port 0 takes a free one)"
	case errors.As(err, &dns):
		return "check the name in --bootstrap, or a name that the broker advertises"
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("is %s a Kafka listener, and does it ask for TLS or a login? See -X security.protocol, -X sasl.mechanism", strings.Join(s.seeds(), ","))
	case isFirstRead(err), strings.Contains(err.Error(), "tls: "):
		return "use what the listener asks for: -X security.protocol=PLAINTEXT or SSL, or with a login SASL_PLAINTEXT or SASL_SSL, -X sasl.mechanism and -X sasl.jaas.config"
	}
	return ""
}

// storeFix is the way out where the store that a setting names, blob or meta, does not open.
func storeFix(setting string, err error) string {
	if setting != app.Blob.Name() {
		return "check the addresses in the setting meta, http or TLS (?ca_file=), and the login at etcd if it asks for one (WEIR_ETCD_USERNAME, WEIR_ETCD_PASSWORD): docs/ops/etcd.md"
	}
	e, _ := errors.AsType[*s3.Error](err)
	switch {
	case e != nil && e.Code == "NoSuchBucket":
		return "make the bucket, or correct its name in the setting blob"
	case e != nil && (e.Code == "RequestTimeTooSkewed" || e.Code == "RequestExpired"):
		return "set the clock of this machine: the store checks the time in signatures"
	case e != nil && e.Code == "AccessDenied":
		return "these keys may not do it: docs/ops/object-store.md lists the rights that are needed"
	case s3.IsRefusal(err):
		return "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or where else the keys come from: docs/ops/object-store.md"
	case s3.IsAway(err):
		return "check endpoint= in the setting blob, host, port, and http or https; ca_file=, and cert_file= and key_file= if the store asks for certificates: docs/ops/object-store.md"
	}
	return "'weir doctor blob' makes the same checks one by one: docs/ops/object-store.md"
}

// isFirstRead tells whether a broker closed the connection at its first request, as it does where it expects TLS or a login.
func isFirstRead(err error) bool {
	_, ok := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return ok
}

// kafkaFixes names the way out of the errors that people meet.
var kafkaFixes = map[int16]string{
	kerr.UnknownTopicOrPartition.Code:    "'weir topic list' shows the topics, 'weir topic create NAME' makes one",
	kerr.TopicAlreadyExists.Code:         "choose another name, or pass --if-not-exists",
	kerr.InvalidTopicException.Code:      "topic names have up to 249 of the characters a-z A-Z 0-9 . _ -",
	kerr.InvalidPartitions.Code:          "partitions can only grow: name a number above the present one",
	kerr.InvalidReplicationFactor.Code:   "leave --replicas out to take the broker's default, or see 'weir cluster nodes'",
	kerr.InvalidConfig.Code:              "'weir topic describe NAME -o wide' lists every setting with its value",
	kerr.InvalidRecord.Code:              "if the topic has a contract, 'weir contract violations TOPIC' says which record broke it and how",
	kerr.PolicyViolation.Code:            "the broker's policy refuses this: change the settings it names",
	kerr.MessageTooLarge.Code:            "raise the topic's max.message.bytes: 'weir topic alter NAME --set max.message.bytes=...'",
	kerr.TopicAuthorizationFailed.Code:   "ask for an ACL on the topic, or log in as another user with -X sasl.jaas.config",
	kerr.GroupAuthorizationFailed.Code:   "ask for an ACL on the group, or log in as another user with -X sasl.jaas.config",
	kerr.ClusterAuthorizationFailed.Code: "ask for an ACL on the cluster, or log in as another user with -X sasl.jaas.config",
	kerr.SaslAuthenticationFailed.Code:   "check user and password in -X sasl.jaas.config or --kafka-config",
	kerr.NonEmptyGroup.Code:              "stop the group's members first: 'weir group describe NAME' lists them",
	kerr.UnknownMemberID.Code:            "stop the group's members first: 'weir group describe NAME' lists them",
	kerr.GroupIDNotFound.Code:            "'weir group list' shows the groups",
	kerr.NotEnoughReplicas.Code:          "lower the topic's min.insync.replicas or bring brokers back: 'weir cluster health'",
	kerr.OffsetOutOfRange.Code:           "'weir topic offsets NAME' shows what the topic holds",
	kerr.UnsupportedVersion.Code:         "the broker is too old, or does not offer this",
}

// brokerError joins a broker's code with the text it sent along, which says more than the code.
func brokerError(err error, text string) error {
	if err == nil || text == "" || strings.Contains(err.Error(), text) {
		return err
	}
	return fmt.Errorf("%s (%w)", strings.TrimSuffix(text, "."), err)
}

// noSuchCommand refuses arguments of a command that only has sub-commands, naming those that are near.
func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("there is no '%s %s'", cmd.CommandPath(), args[0])
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usageErrorf("%s; did you mean '%s %s'?", text, cmd.CommandPath(), near[0])
	}
	return usageErrorf("%s; see '%s --help'", text, cmd.CommandPath())
}

// nearestFlag returns the flag of a command that a flag which does not exist was probably meant to be, or "".
func nearestFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok {
		return ""
	}
	// The library knows how to find the nearest command; so each flag is made one.
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
	})
	near := flags.SuggestionsFor(unknown.GetSpecifiedName())
	if len(near) == 0 {
		return ""
	}
	return slices.MinFunc(near, func(a, b string) int { return len(a) - len(b) })
}

// args checks the number of arguments; atMost < 0 means any number.
func args(atLeast, atMost int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		switch {
		case len(given) < atLeast:
			return usageErrorf("an argument is missing: %s", cmd.UseLine())
		case atMost >= 0 && len(given) > atMost:
			return usageErrorf("argument %q is one too many: %s", given[atMost], cmd.UseLine())
		}
		return nil
	}
}
