package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app"
)

// drainResult is the answer of 'cluster drain'.
type drainResult struct {
	Broker int32  `json:"broker"`
	State  string `json:"state"` // drained, draining or undone
	Shards int    `json:"shards"`
}

func newClusterDrainCommand(s *session) *cobra.Command {
	var (
		at         adminFlags
		undo, wait bool
		timeout    time.Duration
	)
	cmd := &cobra.Command{
		Use:   "drain NODE",
		Short: "Have a broker give its shards to the others, and take it back",
		Long: `Ask for the shards of a broker to be given to the others, one after the other and without a failed request, and wait until it has none.
The broker goes on running and gets no shards until --undo, also when it is started anew: take it out of service, or upgrade it.

A broker that is stopped by SIGTERM gives its shards away by itself; drain it where that must not be bound to the seconds of a stop.
The command is to run on the machine of any broker of the cluster: its admin server changes something for local callers alone.`,
		Example: `  weir cluster drain 3
  weir cluster drain 3 --undo
  weir cluster drain 3 --wait=false --data /var/lib/weir`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 32)
			if err != nil || id < 0 {
				return usageErrorf("%q is not the id of a broker: 'weir cluster nodes' lists them", args[0])
			}
			c, err := at.client(s)
			if err != nil {
				return err
			}
			r, err := s.drain(cmd.Context(), c, int32(id), undo, wait, timeout)
			if err != nil {
				return err
			}
			return s.printDocument(r, func(w io.Writer, _ bool) error {
				_, err := fmt.Fprintln(w, r.line())
				return err
			})
		},
	}
	at.bind(cmd)
	s.addOutput(cmd)
	cmd.Flags().BoolVar(&undo, "undo", false, "let the broker have shards again")
	cmd.Flags().BoolVar(&wait, "wait", true, "wait until the broker has no shards")
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Minute, "how long to wait")
	cmd.ValidArgsFunction = s.completeBrokers
	return cmd
}

func (r *drainResult) line() string {
	switch r.State {
	case "undone":
		return fmt.Sprintf("broker %d may have shards again; the controller gives it its share", r.Broker)
	case "draining":
		return fmt.Sprintf("broker %d gives %s away; 'weir cluster nodes' shows how far it is", r.Broker, plural(int64(r.Shards), "shard"))
	}
	return fmt.Sprintf("broker %d has no shards left and gets no others: it can be stopped, or taken back with 'weir cluster drain %d --undo'", r.Broker, r.Broker)
}

// drainInterval is the pause between two looks at a drain.
const drainInterval = 250 * time.Millisecond

func (s *session) drain(ctx context.Context, c *adminClient, id int32, undo, wait bool, timeout time.Duration) (*drainResult, error) {
	method := http.MethodPost
	if undo {
		method = http.MethodDelete
	}
	if err := c.ask(ctx, method, "/v1/cluster/drain/"+strconv.Itoa(int(id)), nil); err != nil {
		return nil, err
	}
	if undo {
		return &drainResult{Broker: id, State: "undone"}, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errDrainSlow)
	defer cancel()
	r, told := &drainResult{Broker: id, State: "draining", Shards: -1}, -1
	for {
		b, err := askBroker(ctx, c, id)
		if err != nil && errors.Is(context.Cause(ctx), errDrainSlow) {
			err = errDrainSlow
		}
		switch {
		case errors.Is(err, errDrainSlow):
			return nil, withFix(fmt.Errorf("broker %d still has %s after %s: %w", id, plural(int64(r.Shards), "shard"), timeout, err),
				"the drain goes on; 'weir cluster balance --explain' says what holds it up, --undo ends it")
		case err != nil:
			return nil, err
		}
		if r.Shards = b.Owned; b.Draining && b.Owned == 0 {
			r.State = "drained"
		}
		if r.State == "drained" || !wait && b.Draining {
			return r, nil
		}
		if b.Owned != told && s.errTerminal {
			s.progressf("broker %d: %s to go", id, plural(int64(b.Owned), "shard"))
			told = b.Owned
		}
		select {
		case <-ctx.Done():
			if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errDrainSlow) {
				return nil, context.Cause(ctx)
			}
		case <-time.After(drainInterval):
		}
	}
}

var errDrainSlow = errors.New("that took longer than --timeout")

// askBroker returns what the cluster says of a broker.
func askBroker(ctx context.Context, c *adminClient, id int32) (*app.ClusterBroker, error) {
	var st app.ClusterStatus
	if err := c.ask(ctx, http.MethodGet, "/v1/cluster", &st); err != nil {
		return nil, err
	}
	i, ok := slices.BinarySearchFunc(st.Brokers, id, func(b app.ClusterBroker, id int32) int { return cmp.Compare(b.ID, id) })
	if !ok { // it has stopped meanwhile, and others have its shards
		return &app.ClusterBroker{ID: id, Draining: true}, nil
	}
	return &st.Brokers[i], nil
}
