package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/cli/table"
	"github.com/weir-stream/weir/internal/cli/text"
)

func newClusterCommand(s *session) *cobra.Command {
	return newNoun("cluster", "The brokers, their health and features",
		`Ask a cluster whether it is well, list its brokers, how load lies on them and its features, and drain a broker.

Health and nodes ask by the Kafka protocol, and what a Weir cluster knows beyond that from the admin server of one broker, as balance and
drain do: at `+defaultAdmin+` or where --admin, WEIR_ADMIN or --data say.`,
		`  weir cluster health
  weir cluster nodes
  weir cluster balance --explain
  weir cluster drain 3
  weir cluster scrub --data /var/lib/weir
  weir cluster features`,
		newClusterHealthCommand(s), newClusterNodesCommand(s), newClusterBalanceCommand(s), newClusterDrainCommand(s), newClusterFeaturesCommand(s), newClusterScrubCommand(s))
}

// health is the answer of 'cluster health'.
type health struct {
	Healthy         bool     `json:"healthy"`
	ClusterID       string   `json:"cluster_id"`
	Controller      int32    `json:"controller"`
	Brokers         int      `json:"brokers"`
	Topics          int      `json:"topics"`
	Partitions      int      `json:"partitions"`
	Leaderless      int      `json:"leaderless"`
	UnderReplicated int      `json:"under_replicated"`
	AnswerMs        float64  `json:"answer_ms"`
	Problems        []string `json:"problems"`
	// Storage is what the admin server of a broker says; absent if none was named and none is at the default address.
	Storage *app.ClusterHealth `json:"storage,omitempty"`
}

// errUnhealthy makes 'cluster health' exit with 1.
var errUnhealthy = errors.New("the cluster is not healthy")

func newClusterHealthCommand(s *session) *cobra.Command {
	var (
		wait time.Duration
		at   adminFlags
		self bool
	)
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Tell whether the cluster is well, also by the exit code",
		Long: `Ask for the cluster's metadata and tell whether all is well: every broker that is named answers, there is a controller,
every partition has a leader, and none misses replicas. If a Weir broker's admin server can be asked, also: every shard has an owner, and
that broker reaches the metadata store and the object store and keeps its lease. The exit code is 0 if healthy and 1 if not.

With --self only the broker at the admin address is asked, whether it is ready to serve: the probe of a container, which is not to be restarted
for what is wrong elsewhere.`,
		Example: `  weir cluster health
  weir cluster health --data /var/lib/weir
  weir cluster health --wait 30s && start-my-service`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := at.client(s)
			if err != nil {
				return err
			}
			if self {
				return s.printReady(cmd.Context(), c)
			}
			h, err := s.awaitHealth(cmd.Context(), c, wait)
			if err != nil {
				return err
			}
			if err := s.printDocument(h, h.write); err != nil {
				return err
			}
			if !h.Healthy {
				return errUnhealthy
			}
			return nil
		},
	}
	s.addOutput(cmd)
	at.bind(cmd)
	cmd.Flags().BoolVar(&self, "self", false, "only whether the broker at the admin address is ready")
	cmd.Flags().DurationVar(&wait, "wait", 0, "wait up to this long for the cluster to be healthy")
	return cmd
}

// healthInterval is the pause between two questions of --wait.
const healthInterval = 250 * time.Millisecond

// awaitHealth asks until the cluster is healthy or the time is over, and returns the last answer.
func (s *session) awaitHealth(ctx context.Context, c *adminClient, wait time.Duration) (*health, error) {
	deadline := time.Now().Add(wait)
	for {
		h, err := s.health(ctx, c)
		if err == nil && h.Healthy || time.Now().After(deadline) {
			return h, err
		}
		select {
		case <-ctx.Done():
			return h, ctx.Err()
		case <-time.After(healthInterval):
		}
	}
}

func (s *session) health(ctx context.Context, c *adminClient) (*health, error) {
	adm, done, err := s.admin(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, firstAnswer)
	defer cancel()
	asked := time.Now()
	m, err := adm.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for metadata: %w", err)
	}
	h := judge(m)
	h.AnswerMs = float64(time.Since(asked).Microseconds()) / 1000
	// Every broker is asked, not only the one that gave the metadata.
	versions, err := adm.ApiVersions(ctx)
	if err != nil {
		h.Problems = append(h.Problems, fmt.Sprintf("not every broker answers: %v", err))
	}
	h.Problems = append(h.Problems, silent(versions)...)
	h.Healthy = len(h.Problems) == 0
	if h.Storage, err = c.storage(ctx, h.ClusterID); err != nil {
		return nil, err
	}
	if h.Storage != nil {
		h.Healthy = h.Healthy && h.Storage.Healthy
		h.Problems = append(h.Problems, h.Storage.Problems...)
	}
	return h, nil
}

// silent names the brokers that gave no answer.
func silent(versions kadm.BrokersApiVersions) (problems []string) {
	for _, v := range versions.Sorted() {
		if v.Err != nil {
			problems = append(problems, fmt.Sprintf("broker %d does not answer: %v", v.NodeID, v.Err))
		}
	}
	return problems
}

// judge tells from metadata alone whether a cluster is well.
func judge(m kadm.Metadata) *health {
	h := &health{ClusterID: m.Cluster, Controller: m.Controller, Brokers: len(m.Brokers), Topics: len(m.Topics), Problems: []string{}}
	var broken []string
	for _, t := range m.Topics.Sorted() {
		if t.Err != nil {
			broken = append(broken, t.Topic)
		}
		for _, p := range t.Partitions {
			h.Partitions++
			if p.Leader < 0 {
				h.Leaderless++
			}
			if len(p.ISR) < len(p.Replicas) || len(p.OfflineReplicas) > 0 {
				h.UnderReplicated++
			}
		}
	}
	if m.Controller < 0 {
		h.Problems = append(h.Problems, "there is no controller")
	}
	if h.Leaderless > 0 {
		h.Problems = append(h.Problems, plural(int64(h.Leaderless), "partition")+" without a leader: cannot be written or read")
	}
	if h.UnderReplicated > 0 {
		h.Problems = append(h.Problems, plural(int64(h.UnderReplicated), "partition")+" with missing replicas")
	}
	if len(broken) > 0 {
		h.Problems = append(h.Problems, fmt.Sprintf("%s cannot be loaded, first %s", plural(int64(len(broken)), "topic"), broken[0]))
	}
	h.Healthy = len(h.Problems) == 0
	return h
}

func (h *health) write(w io.Writer, _ bool) error {
	word := "healthy"
	if !h.Healthy {
		word = "NOT HEALTHY"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  cluster %s  answered in %s\n%s, controller %d; %s, %s\n", word, text.Safe(h.ClusterID), text.Duration(time.Duration(h.AnswerMs*float64(time.Millisecond))),
		plural(int64(h.Brokers), "broker"), h.Controller, plural(int64(h.Topics), "topic"), plural(int64(h.Partitions), "partition"))
	if h.Storage != nil {
		writeStorage(&b, h.Storage)
	}
	for _, p := range h.Problems {
		b.WriteString("  " + text.Safe(p) + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeStorage(b *strings.Builder, h *app.ClusterHealth) {
	fmt.Fprintf(b, "%s", plural(int64(h.Shards), "shard"))
	if n := len(h.Unowned); n > 0 {
		fmt.Fprintf(b, ", %d without an owner", n)
	}
	if h.Moving > 0 {
		fmt.Fprintf(b, ", %d moving", h.Moving)
	}
	for i := range h.ClusterStatus.Brokers {
		r := &h.ClusterStatus.Brokers[i]
		switch {
		case r.Draining && r.Owned == 0:
			fmt.Fprintf(b, "; broker %d is drained", r.ID)
		case r.Draining:
			fmt.Fprintf(b, "; broker %d drains, %s to go", r.ID, plural(int64(r.Owned), "shard"))
		}
	}
	fmt.Fprintf(b, "\nasked broker %d: metadata store %s, object store %s", h.Broker, storeWord(h.Metadata), storeWord(h.Objects))
	if !h.Alone {
		fmt.Fprintf(b, ", lease renewed %s ago of %s", text.Duration(time.Duration(h.LeaseAgeMs)*time.Millisecond), text.Duration(time.Duration(h.LeaseMs)*time.Millisecond))
	}
	b.WriteString("\n")
}

// storeWord says whether a store answers, and how fast.
func storeWord(s app.StoreStatus) string {
	if !s.OK {
		return "OUT OF REACH"
	}
	return "answers in " + text.Duration(time.Duration(s.AnswerMs*float64(time.Millisecond)))
}

// nodeRow is a broker.
type nodeRow struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Controller bool   `json:"controller"`
	Leads      int    `json:"leads"`
	Replicas   int    `json:"replicas"`
	Bytes      *int64 `json:"bytes,omitempty"`
	// Shards and State are what the admin server of a broker says, if one can be asked.
	Shards *int64 `json:"shards,omitempty"`
	State  string `json:"state,omitempty"` // serving, starting, draining or drained
}

func newClusterNodesCommand(s *session) *cobra.Command {
	var at adminFlags
	cmd := &cobra.Command{
		Use:   "nodes",
		Short: "List the brokers and what they carry",
		Long: `List the brokers with their addresses, the partitions that they lead, and (-o wide) the bytes of their logs. Where the admin server of a
broker can be asked, also the shards that they have, and whether they drain.`,
		Example: `  weir cluster nodes
  weir cluster nodes -o wide`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := at.client(s)
			if err != nil {
				return err
			}
			adm, done, err := s.admin(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			rows, err := listNodes(cmd.Context(), adm, c)
			if err != nil {
				return err
			}
			t := &table.Table{Columns: []table.Column{{Title: "ID", Right: true}, {Title: "ADDRESS"}, {Title: "RACK"}, {Title: "ROLE"}, {Title: "LEADS", Right: true}, {Title: "REPLICAS", Right: true}, {Title: "SHARDS", Right: true}, {Title: "STATE"}, {Title: "LOGS", Right: true, Wide: true}}}
			for _, r := range rows {
				role := ""
				if r.Controller {
					role = "controller"
				}
				t.Add(strconv.Itoa(int(r.ID)), fmt.Sprintf("%s:%d", r.Host, r.Port), r.Rack, role, strconv.Itoa(r.Leads), strconv.Itoa(r.Replicas), optional(r.Shards, text.Count), r.State, optional(r.Bytes, text.Bytes))
			}
			return s.print(rows, t)
		},
	}
	s.addOutput(cmd)
	at.bind(cmd)
	return cmd
}

func listNodes(ctx context.Context, adm *kadm.Client, c *adminClient) ([]nodeRow, error) {
	m, err := adm.Metadata(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask for metadata: %w", err)
	}
	leads, replicas := map[int32]int{}, map[int32]int{}
	m.Topics.EachPartition(func(p kadm.PartitionDetail) {
		leads[p.Leader]++
		for _, r := range p.Replicas {
			replicas[r]++
		}
	})
	// A broker may refuse to tell log sizes; the list is useful without.
	dirs, _ := adm.DescribeAllLogDirs(ctx, nil)
	status, err := c.status(ctx, m.Cluster)
	if err != nil {
		return nil, err
	}
	rows := []nodeRow{}
	for _, b := range m.Brokers {
		row := nodeRow{ID: b.NodeID, Host: b.Host, Port: b.Port, Controller: b.NodeID == m.Controller, Leads: leads[b.NodeID], Replicas: replicas[b.NodeID]}
		if b.Rack != nil {
			row.Rack = *b.Rack
		}
		if d, ok := dirs[b.NodeID]; ok {
			bytes := d.Size()
			row.Bytes = &bytes
		}
		row.Shards, row.State = stateOf(status, b.NodeID)
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b nodeRow) int { return cmp.Compare(a.ID, b.ID) })
	return rows, nil
}

// stateOf returns what a cluster's status says of a broker.
func stateOf(st *app.ClusterStatus, id int32) (shards *int64, state string) {
	if st == nil {
		return nil, ""
	}
	for i := range st.Brokers {
		b := &st.Brokers[i]
		if b.ID != id {
			continue
		}
		switch {
		case b.Draining && b.Owned == 0:
			state = "drained"
		case b.Draining:
			state = "draining"
		case !b.Ready:
			state = "starting"
		default:
			state = "serving"
		}
		owned := int64(b.Owned)
		return &owned, state
	}
	return nil, "gone"
}
