package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/term"

	"github.com/weir-stream/weir/internal/demo"
)

// embeddedStarter starts a throw-away server in this process and returns its Kafka address. The server ends by stop.
type embeddedStarter func(ctx context.Context) (addr string, stop func(), err error)

const (
	demoPartitions = 3
	frameInterval  = 100 * time.Millisecond
	plainInterval  = 3 * time.Second
)

type demoOptions struct {
	scenario demo.Scenario
	speed    string
	keep     bool
	start    embeddedStarter
}

func newDemoCommand(s *session, start embeddedStarter) *cobra.Command {
	o := demoOptions{start: start}
	scenarios := demo.Scenarios()
	var names, uses []string
	for _, sc := range scenarios {
		names = append(names, sc.Name)
		uses = append(uses, fmt.Sprintf("  %-12s %s", sc.Name, sc.Short))
	}
	cmd := &cobra.Command{
		Use:   "demo [" + strings.Join(names, "|") + "]",
		Short: "See it work: real data through a throw-away server, counted and drawn live",
		Long: `Start a server in memory, send real data through it in the pace of the time it tells of, count what a consumer group
reads, and draw the counts while they grow. It ends by itself, prints the totals, and leaves nothing behind.

` + strings.Join(uses, "\n") + `

With --bootstrap an existing cluster is used instead: the demo makes a topic and a group there and deletes them at the end.
Without a terminal there are only plain lines.`,
		Example: `  weir demo
  weir demo earthquakes --speed max
  weir demo hashtags --speed 86400              one second for each day
  weir demo --bootstrap kafka:9092 --keep       leave the topic and the group there`,
		Args:      args(0, 1),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.scenario = scenarios[0]
			if len(args) == 1 {
				found := false
				for _, sc := range scenarios {
					if sc.Name == args[0] {
						o.scenario, found = sc, true
					}
				}
				if !found {
					return usageErrorf("there is no demo %q: use %s", args[0], strings.Join(names[:len(names)-1], ", ")+" or "+names[len(names)-1])
				}
			}
			return runDemo(cmd.Context(), s, o)
		},
	}
	s.addOutput(cmd)
	f := cmd.Flags()
	f.StringVar(&o.speed, "speed", "", "how many times faster than the data's own time, or max (default: so that it takes half a minute)")
	f.BoolVar(&o.keep, "keep", false, "with --bootstrap: do not delete the topic and the group at the end")
	completeFrom(cmd, "speed", "max")
	return cmd
}

func parseSpeed(s string) (float64, error) {
	switch s {
	case "":
		return 0, nil
	case "max":
		return demo.MaxSpeed, nil
	}
	speed, err := strconv.ParseFloat(strings.TrimSuffix(s, "x"), 64)
	if err != nil || !(speed > 0) {
		return 0, usageErrorf("--speed %q is neither a number above 0 nor max", s)
	}
	return speed, nil
}

func runDemo(ctx context.Context, s *session, o demoOptions) (err error) {
	speed, err := parseSpeed(o.speed)
	if err != nil {
		return err
	}
	topic, existing := o.scenario.Topic, s.bootstrap != ""
	switch {
	case existing:
		topic = fmt.Sprintf("weir-demo-%s-%x", o.scenario.Topic, s.now().UnixMilli())
	case o.start == nil:
		return withFix(errors.New("this program holds no server to start"), "name a broker with --bootstrap host:port")
	default:
		addr, stop, err := o.start(ctx)
		if err != nil {
			return fmt.Errorf("start a throw-away server: %w", err)
		}
		defer stop()
		s.bootstrap = addr
	}
	group := topic + "-demo"
	adm, done, err := s.admin(ctx)
	if err != nil {
		return err
	}
	defer done()
	// Records carry the time of their event, which lies years back: retention must not take them for old ones.
	forever := "-1"
	if a, err := adm.CreateTopic(ctx, demoPartitions, -1, map[string]*string{"retention.ms": &forever}, topic); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, brokerError(err, a.ErrMessage))
	}
	if existing && !o.keep {
		defer func() { err = errors.Join(err, removeDemo(ctx, adm, topic, group)) }()
	}
	view := &demoView{s: s, where: "topic " + topic + " at " + s.seeds()[0]}
	every := plainInterval
	if view.draws() {
		every = frameInterval
	}
	model, summary, err := demo.Run(ctx, demo.Options{Scenario: o.scenario, Topic: topic, Group: group, Speed: speed, Open: s.client, Show: view.show, Every: every})
	leaveErr := view.leave()
	if errors.Is(err, context.Canceled) {
		err = errors.New("stopped before the end")
	}
	return errors.Join(err, leaveErr, view.finish(o.scenario, model, summary))
}

// removeDemo deletes what a demo made on a cluster that goes on living.
func removeDemo(ctx context.Context, adm *kadm.Client, topic, group string) error {
	// The demo may have ended by Ctrl-C, which ended ctx.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), firstAnswer)
	defer cancel()
	var errs []error
	if _, err := adm.DeleteTopic(ctx, topic); err != nil {
		errs = append(errs, fmt.Errorf("delete topic %s: %w", topic, err))
	}
	if _, err := adm.DeleteGroup(ctx, group); err != nil {
		errs = append(errs, fmt.Errorf("delete group %s: %w", group, err))
	}
	return errors.Join(errs...)
}

// demoView shows a demo: on a terminal's screen, or as plain lines.
type demoView struct {
	s      *session
	where  string
	screen *demo.Screen
}

// draws tells whether there is a screen to draw on.
func (d *demoView) draws() bool {
	return d.s.outTerminal && d.s.env("TERM") != "dumb" && (d.s.output == "" || d.s.output == "table" || d.s.output == "wide")
}

// forPrograms tells whether the totals are wanted as a document.
func (d *demoView) forPrograms() bool {
	return d.s.output != "" && d.s.output != "table" && d.s.output != "wide"
}

func (d *demoView) show(picture func(columns int) demo.Picture, v demo.View) error {
	v.Where = d.where
	if !d.draws() {
		line := demo.PlainLine(picture(1), v) + "\n"
		out := d.s.out
		if d.forPrograms() {
			out = d.s.errOut
		}
		_, err := fmt.Fprint(out, line)
		return err
	}
	if d.screen == nil {
		var err error
		if d.screen, err = demo.NewScreen(d.s.out, d.s.color()); err != nil {
			return err
		}
	}
	v.Width, v.Height = d.size()
	return d.screen.Show(demo.Draw(picture(v.Width), v))
}

// The size of a terminal that does not tell its own.
const (
	usualWidth  = 80
	usualHeight = 24
)

// size asks the terminal each time, so that drawings follow it.
func (d *demoView) size() (width, height int) {
	if f, ok := d.s.out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 && h > 0 {
			return w, h
		}
	}
	return usualWidth, usualHeight
}

func (d *demoView) leave() error {
	if d.screen == nil {
		return nil
	}
	err := d.screen.Leave()
	d.screen = nil
	return err
}

// demoResult is the outcome of a demo for programs.
type demoResult struct {
	Demo    string  `json:"demo"`
	Seconds float64 `json:"seconds"`
	Sent    int64   `json:"sent"`
	Counted int64   `json:"counted"`
	P50Ms   float64 `json:"end_to_end_p50_ms"`
	P99Ms   float64 `json:"end_to_end_p99_ms"`
	Totals  any     `json:"totals"`
}

// finishLines is the height of the picture that stays in the terminal's history.
const finishLines = 26

func (d *demoView) finish(sc demo.Scenario, model demo.Model, sum demo.Summary) error {
	if d.forPrograms() {
		res := demoResult{sc.Name, sum.Elapsed.Seconds(), sum.Produced, sum.Consumed, sum.P50.Seconds() * 1000, sum.P99.Seconds() * 1000, sum.Totals}
		return d.s.printDocument(res, nil)
	}
	if d.draws() {
		v := sum.View
		v.Width, v.Height = d.size()
		v.Height = min(finishLines, max(v.Height-1, 0))
		return demo.Print(d.s.out, demo.Draw(model.Picture(v.Width), v), d.s.color())
	}
	for _, line := range demo.TotalLines(model.Picture(1), sum.View) {
		if _, err := fmt.Fprintln(d.s.out, line); err != nil {
			return err
		}
	}
	return nil
}
