// Command weir is the whole of Weir in one program: a server and the command line that works with it, or with any
// other broker that speaks the Kafka protocol.
//
// The command line is nouns, then verbs (weir topic list); each noun has a file here, large verbs one of their own.
// A command parses its flags, asks a broker through a client that session.connect made, and prints through
// session.print. What can be tested without a broker lives in internal/cli and internal/demo.
//
// Results go to standard output: a table to a terminal, NDJSON to anything else, or what -o says. Progress, questions
// and errors go to standard error. The exit code is 0 when done, 1 when it failed, 2 when the command was not
// understood or was not confirmed. An error names its fix where there is one (exit.go).
//
// Commands keep no state between each other: everything they share hangs on one session, made in main. They end when
// their context does; main ends it on SIGINT, SIGTERM and SIGHUP.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, newSession(os.Stdin, os.Stdout, os.Stderr), os.Args[1:])
	stop()
	os.Exit(code)
}

// run executes one command line and returns the exit code.
func run(ctx context.Context, s *session, args []string) int {
	root := newRootCommand(s)
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.errOut)
	err := root.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprint(s.errOut, describeError(err, s))
	}
	return exitCode(err)
}

func newRootCommand(s *session) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "An event-streaming platform that speaks Kafka, in one program",
		Long: `Weir is an event-streaming platform in one program: a broker compatible with Apache Kafka, the services around it,
and this command line, which works with any Kafka-compatible broker.

Commands are a noun and a verb. Results are a table on a terminal and NDJSON in a pipe; -o chooses another form.`,
		Example: `  weir demo                                   see it work: real data through a throw-away server
  weir topic create orders --partitions 6     make a topic
  echo '{"id":1}' | weir topic produce orders write to it
  weir topic consume orders --until-end       read it
  weir group lag                              who is behind, and by how much`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          noSuchCommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if near := nearestFlag(cmd, err); near != "" {
			return usageErrorf("%v; did you mean --%s?", err, near)
		}
		return usageErrorf("%v; see '%s --help'", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&s.bootstrap, "bootstrap", "", "broker addresses, host:port,host:port (default "+defaultBootstrap+", or WEIR_BOOTSTRAP)")
	flags.StringArrayVarP(&s.properties, "property", "X", nil, "client `key=value` with Kafka's names, such as security.protocol=SSL; repeatable")
	flags.StringVar(&s.kafkaConfig, "kafka-config", "", "client.properties `file` of a Kafka client (or WEIR_KAFKA_CONFIG)")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newServerCommand(s),
		newDemoCommand(s, startEmbedded),
		newTopicCommand(s),
		newGroupCommand(s),
		newACLCommand(s),
		newCanCommand(s),
		newAuditCommand(s),
		newTxnCommand(s),
		newSchemaCommand(s),
		newUserCommand(s),
		newQuotaCommand(s),
		newContractCommand(s),
		newClusterCommand(s),
		newBackupCommand(s),
		newBenchCommand(s),
		newDoctorCommand(s),
		newDumpCommand(s),
		newConfigCommand(s),
		newCompletionCommand(s),
		newVersionCommand(s),
	)
	return root
}

// newNoun returns a command that only groups verbs.
func newNoun(use, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		Args: noSuchCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(verbs...)
	return cmd
}
