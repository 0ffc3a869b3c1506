package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/term"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/base/properties"
	"github.com/weir-stream/weir/internal/cli/registryclient"
	"github.com/weir-stream/weir/internal/kafka/client"
)

const (
	defaultBootstrap = "127.0.0.1:9092"
	// firstAnswer bounds the wait for a broker's first answer: a command must not hang on a wrong address.
	firstAnswer = 8 * time.Second
)

// session is what the commands of one process share: where they read and write, and how they reach a broker. It is
// made once in main, filled by flags before a command runs, and only read afterwards.
type session struct {
	in          io.Reader
	out, errOut io.Writer
	// inTerminal, outTerminal, errTerminal tell whether a person sits at the other end.
	inTerminal, outTerminal, errTerminal bool
	env                                  func(string) string
	now                                  func() time.Time

	bootstrap      string
	properties     []string
	kafkaConfig    string
	schemaRegistry string
	output         outputFormat

	schema *config.Schema // made once, see serverSchema
}

func newSession(in, out, errOut *os.File) *session {
	return &session{
		in: in, out: out, errOut: errOut,
		inTerminal:  term.IsTerminal(int(in.Fd())),
		outTerminal: term.IsTerminal(int(out.Fd())),
		errTerminal: term.IsTerminal(int(errOut.Fd())),
		env:         os.Getenv,
		now:         time.Now,
	}
}

// serverSchema has the settings of a server. More than one command has flags for them, and every start of the program makes all commands.
func (s *session) serverSchema() (*config.Schema, error) {
	if s.schema != nil {
		return s.schema, nil
	}
	schema, err := app.Schema()
	s.schema = schema
	return schema, err
}

// color tells whether output to a terminal may be coloured (https://no-color.org).
func (s *session) color() bool {
	return s.outTerminal && s.env("NO_COLOR") == "" && s.env("TERM") != "dumb"
}

// progressf tells a person how things go, on standard error.
func (s *session) progressf(format string, args ...any) {
	fmt.Fprintf(s.errOut, format+"\n", args...)
}

// settings returns the client's properties: the file's, overlaid by -X.
func (s *session) settings() (map[string]string, error) {
	all := map[string]string{}
	file := s.kafkaConfig
	if file == "" {
		file = s.env("WEIR_KAFKA_CONFIG")
	}
	if file != "" {
		props, err := properties.Load(file)
		if err != nil {
			return nil, withFix(err, "name the client.properties file of a Kafka client with --kafka-config")
		}
		maps.Copy(all, props)
	}
	for _, p := range s.properties {
		key, value, ok := strings.Cut(p, "=")
		if !ok || key == "" {
			return nil, usageErrorf("-X %q is not key=value", p)
		}
		all[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return all, nil
}

// seeds returns the addresses to try: --bootstrap, -X bootstrap.servers, WEIR_BOOTSTRAP, the file's, or the default.
func (s *session) seeds() []string {
	list := s.bootstrap
	for _, p := range s.properties {
		if v, ok := strings.CutPrefix(p, "bootstrap.servers="); ok && list == "" {
			list = v
		}
	}
	if list == "" {
		list = s.env("WEIR_BOOTSTRAP")
	}
	if list == "" {
		if all, err := s.settings(); err == nil {
			list = all["bootstrap.servers"]
		}
	}
	if list == "" {
		list = defaultBootstrap
	}
	var seeds []string
	for seed := range strings.SplitSeq(list, ",") {
		if seed = strings.TrimSpace(seed); seed != "" {
			seeds = append(seeds, seed)
		}
	}
	return seeds
}

// connect returns a client that a broker has answered. The caller closes it.
func (s *session) connect(ctx context.Context, extra ...kgo.Opt) (*kgo.Client, error) {
	cl, err := s.client(extra...)
	if err != nil {
		return nil, err
	}
	if err := s.ping(ctx, cl); err != nil {
		cl.Close()
		return nil, err
	}
	return cl, nil
}

// client returns a client without asking a broker whether it is there.
func (s *session) client(extra ...kgo.Opt) (*kgo.Client, error) {
	props, err := s.settings()
	if err != nil {
		return nil, err
	}
	if props["client.id"] == "" {
		props["client.id"] = "weir"
	}
	maps.DeleteFunc(props, func(name, _ string) bool { return registryclient.IsProperty(name) })
	cl, err := client.New(client.Options{Bootstrap: s.seeds(), Properties: props, SoftwareName: "weir", SoftwareVersion: readBuildInfo().Version}, extra...)
	if err != nil {
		// What can be wrong here is what was typed: an address, a property.
		return nil, usageErrorf("%v", err)
	}
	return cl, nil
}

func (s *session) ping(ctx context.Context, cl *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	if err := cl.Ping(ctx); err != nil {
		return fmt.Errorf("no broker answers at %s: %w", strings.Join(s.seeds(), ","), err)
	}
	return nil
}

// admin returns a client for questions and changes; done closes it.
func (s *session) admin(ctx context.Context) (adm *kadm.Client, done func(), err error) {
	cl, err := s.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	return kadm.NewClient(cl), cl.Close, nil
}

// errNotConfirmed ends a dangerous command that nobody confirmed.
var errNotConfirmed = errors.New("nothing was changed")

// confirm asks for consent to a change whose plan was just shown. With --yes it is given, with --dry-run it is not; a
// person at a terminal is asked; anyone else gets a usage error, so that a script notices.
func (s *session) confirm(yes, dryRun bool) (bool, error) {
	switch {
	case dryRun:
		s.progressf("dry run: nothing was changed")
		return false, nil
	case yes:
		return true, nil
	case !s.inTerminal || !s.errTerminal:
		return false, usageErrorf("%v: repeat with --yes to do it, or with --dry-run to only look", errNotConfirmed)
	}
	fmt.Fprint(s.errOut, "Do it? [y/N] ")
	line, err := bufio.NewReader(s.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, errNotConfirmed
}
