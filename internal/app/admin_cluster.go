package app

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/broker/cluster"
	"github.com/weir-stream/weir/internal/broker/placement"
	"github.com/weir-stream/weir/internal/broker/shard"
)

// clusterAdmin answers the admin server's questions about the cluster, on every broker of it and on a broker alone:
//
//	GET    /v1/cluster            ClusterStatus
//	GET    /v1/cluster/health     ClusterHealth; asks both stores
//	GET    /v1/cluster/balance    ClusterBalance
//	POST   /v1/cluster/drain/ID   asks for the broker's shards to be given to others: 202
//	DELETE /v1/cluster/drain/ID   takes that back: 204
//
// Answers are JSON; an error is {"error": TEXT}. Nobody logs in here, so what changes something is done for callers on the same
// machine alone; all else is 403. See onlyLocal.
type clusterAdmin struct {
	clusterID string
	directory *cluster.Directory
	member    *cluster.Member // nil for a broker alone
	meta      meta.Store
	objects   blob.Store
	storage   *shard.Store
	now       func() time.Time
	// asking holds one token: the stores are asked by one caller at a time. last is the owner's of the token.
	asking chan struct{}
	last   storesAnswer
}

type storesAnswer struct {
	at            time.Time
	meta, objects StoreStatus
}

// Bounds of what a caller can make the server do.
const (
	// storesFresh is for how long what the stores answered is told again, as each question costs a request.
	storesFresh = time.Second
	// storePatience is how long a store may take for an answer.
	storePatience = 3 * time.Second
	// drainPatience is how long a drain may take to be written.
	drainPatience = 10 * time.Second
)

// ClusterStatus says which brokers there are and what they have.
type ClusterStatus struct {
	ClusterID string `json:"cluster_id"`
	// Broker is the one that answers; Controller decides who has which shard, -1 while there is none.
	Broker     int32           `json:"broker"`
	Controller int32           `json:"controller"`
	Alone      bool            `json:"alone"` // there are no others, and never will be
	Shards     int             `json:"shards"`
	Unowned    []int32         `json:"unowned_shards"` // nobody serves these at the moment
	Moving     int             `json:"moving_shards"`  // on their way from one live broker to another
	Brokers    []ClusterBroker `json:"brokers"`
	// Drains are brokers that are not there and would be drained if they were.
	Drains []int32 `json:"absent_drains,omitempty"`
	// LeaseMs is after how long without a sign of life this broker is taken for dead; LeaseAgeMs is how long ago its last one was.
	LeaseMs    int64 `json:"lease_ms,omitempty"`
	LeaseAgeMs int64 `json:"lease_age_ms,omitempty"`
}

// ClusterBroker is a broker that is alive, as far as leases tell.
type ClusterBroker struct {
	ID          int32  `json:"id"`
	Rack        string `json:"rack,omitempty"`
	Incarnation uint64 `json:"incarnation,omitempty"` // its life, which the log is written under
	Ready       bool   `json:"ready"`                 // it can take shards
	Draining    bool   `json:"draining"`
	Owned       int    `json:"shards_owned"`
	Assigned    int    `json:"shards_assigned"` // that it has, or is to have
	// Stuck are those of them that it could not take or load when it tried last.
	Stuck     []int32                `json:"stuck_shards,omitempty"`
	Endpoints []ClusterListenAddress `json:"endpoints"`
}

// ClusterListenAddress is where clients of one listener reach a broker.
type ClusterListenAddress struct {
	Listener string `json:"listener"`
	Host     string `json:"host"`
	Port     int32  `json:"port"`
}

// ClusterHealth is the status, whether the stores answer, and what is not well, in words.
type ClusterHealth struct {
	ClusterStatus
	Healthy  bool        `json:"healthy"`
	Metadata StoreStatus `json:"metadata_store"`
	Objects  StoreStatus `json:"object_store"`
	Disk     *DiskStatus `json:"local_disk,omitempty"` // of a broker alone, which has its log there
	Problems []string    `json:"problems"`
}

// DiskStatus says how the log on the local disk stands. What waits has not been moved into segments.
type DiskStatus struct {
	Full      bool   `json:"log_is_full"` // producers are refused
	Waiting   int64  `json:"waiting_bytes"`
	WaitingMs int64  `json:"waiting_ms"` // since the oldest of it was written
	WaitsFor  string `json:"waits_for,omitempty"`
	FreeBytes int64  `json:"free_bytes"`
}

// StoreStatus says whether a store answers this broker.
type StoreStatus struct {
	OK       bool    `json:"ok"`
	AnswerMs float64 `json:"answer_ms"`
	Error    string  `json:"error,omitempty"`
}

// ClusterBalance is how load lies on brokers and racks, what moves next, and why no more.
type ClusterBalance struct {
	Controller int32           `json:"controller"`
	Target     float64         `json:"target_use"` // a share of a broker's capacity
	Why        string          `json:"why"`        // no more moves
	Unplaced   int             `json:"unplaced_shards"`
	Brokers    []BalanceBroker `json:"brokers"`
	Racks      []BalanceRack   `json:"racks"`
	Moves      []BalanceMove   `json:"moves"`
}

// BalanceBroker is how a broker stands. Use is a share of its capacity.
type BalanceBroker struct {
	ID               int32   `json:"id"`
	Rack             string  `json:"rack,omitempty"`
	Shards           int     `json:"shards"`
	ShardsThen       int     `json:"shards_after_moves"`
	Use              float64 `json:"use"`
	UseThen          float64 `json:"use_after_moves"`
	BytesInPerSecond float64 `json:"bytes_in_per_second"`
	Partitions       int64   `json:"partitions"`
	Note             string  `json:"note,omitempty"`
}

// BalanceRack is how a rack stands after the moves. WithoutIt is the use of all others if the rack is lost, 0 if there are none.
type BalanceRack struct {
	Name      string  `json:"name"`
	Brokers   int     `json:"brokers"`
	Shards    int     `json:"shards"`
	Use       float64 `json:"use"`
	WithoutIt float64 `json:"use_of_others_without_it"`
}

// BalanceMove is one shard's change of owner.
type BalanceMove struct {
	Shard  int32  `json:"shard"`
	From   int32  `json:"from"` // -1 for nobody
	To     int32  `json:"to"`
	Kind   string `json:"kind"` // orphan, drain or balance
	Reason string `json:"reason"`
}

func (c *clusterAdmin) register(mux *http.ServeMux) {
	c.asking = make(chan struct{}, 1)
	mux.HandleFunc("GET /v1/cluster", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, c.status()) })
	mux.HandleFunc("GET /v1/cluster/health", func(w http.ResponseWriter, r *http.Request) {
		h, err := c.health(r.Context())
		if err != nil {
			return // the caller has gone
		}
		answer(w, http.StatusOK, h)
	})
	mux.HandleFunc("GET /v1/cluster/balance", func(w http.ResponseWriter, _ *http.Request) {
		b, ok := c.balance()
		if !ok {
			refuse(w, http.StatusServiceUnavailable, "this broker has not read yet which brokers there are")
			return
		}
		answer(w, http.StatusOK, b)
	})
	mux.Handle("POST /v1/cluster/drain/{id}", onlyLocal(http.HandlerFunc(c.drain)))
	mux.Handle("DELETE /v1/cluster/drain/{id}", onlyLocal(http.HandlerFunc(c.drain)))
}

func (c *clusterAdmin) status() ClusterStatus {
	v := c.directory.View()
	s := ClusterStatus{
		ClusterID: c.clusterID, Broker: v.Self, Controller: v.Controller, Alone: c.member == nil, Shards: len(v.Shards),
		Unowned: []int32{}, Brokers: []ClusterBroker{},
	}
	owned, assigned := map[int32]int{}, map[int32]int{}
	for i := range int32(len(v.Shards)) {
		owner, wanted := v.Owner(i).Broker, v.Wanted(i)
		if c.member == nil {
			wanted = owner
		}
		owned[owner]++
		assigned[wanted]++
		if owner == cluster.Nobody {
			s.Unowned = append(s.Unowned, i)
		} else if owner != wanted {
			s.Moving++
		}
	}
	for i := range v.Brokers {
		b := &v.Brokers[i]
		row := ClusterBroker{
			ID: b.ID, Rack: b.Rack, Incarnation: b.Incarnation, Draining: b.Draining, Ready: len(b.Endpoints) > 0, Owned: owned[b.ID], Assigned: assigned[b.ID],
			Stuck: b.Stuck, Endpoints: []ClusterListenAddress{},
		}
		for _, e := range b.Endpoints {
			row.Endpoints = append(row.Endpoints, ClusterListenAddress(e))
		}
		s.Brokers = append(s.Brokers, row)
	}
	if c.member != nil {
		for _, id := range c.member.Drains() {
			if _, there := v.Broker(id); !there {
				s.Drains = append(s.Drains, id)
			}
		}
		s.LeaseMs, s.LeaseAgeMs = c.member.Lease().Milliseconds(), c.member.Alone().Milliseconds()
	}
	return s
}

func (c *clusterAdmin) balance() (ClusterBalance, bool) {
	v := c.directory.View()
	if c.member == nil {
		out := ClusterBalance{Controller: v.Controller, Why: "there are no two brokers to balance", Racks: []BalanceRack{}, Moves: []BalanceMove{}, Brokers: []BalanceBroker{}}
		for i := range v.Brokers {
			out.Brokers = append(out.Brokers, BalanceBroker{ID: v.Brokers[i].ID, Rack: v.Brokers[i].Rack, Shards: len(v.Shards), ShardsThen: len(v.Shards)})
		}
		return out, len(v.Brokers) > 0
	}
	b, ok := c.member.Balance()
	if !ok {
		return ClusterBalance{}, false
	}
	out := ClusterBalance{Controller: v.Controller, Target: b.Target, Why: b.Why, Unplaced: b.Unplaced, Brokers: []BalanceBroker{}, Racks: []BalanceRack{}, Moves: []BalanceMove{}}
	loads := map[int32]placement.Load{}
	partitions := map[int32]int64{}
	for id, l := range b.Loads {
		owner := v.Owner(id).Broker
		sum := loads[owner]
		sum.BytesInPerSecond += l.BytesInPerSecond
		loads[owner] = sum
		partitions[owner] += int64(l.Partitions)
	}
	for i := range b.Brokers {
		r := &b.Brokers[i]
		out.Brokers = append(out.Brokers, BalanceBroker{
			ID: r.ID, Rack: r.Rack, Shards: r.ShardsBefore, ShardsThen: r.ShardsNow, Use: r.UseBefore, UseThen: r.UseNow, Note: r.Note,
			BytesInPerSecond: loads[r.ID].BytesInPerSecond, Partitions: partitions[r.ID],
		})
	}
	for _, r := range b.Racks {
		out.Racks = append(out.Racks, BalanceRack(r))
	}
	for _, m := range b.Moves {
		out.Moves = append(out.Moves, BalanceMove{Shard: m.Shard, From: m.From, To: m.To, Kind: m.Kind.String(), Reason: m.Reason})
	}
	return out, true
}

func (c *clusterAdmin) drain(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 32)
	switch {
	case err != nil || id < 0:
		refuse(w, http.StatusBadRequest, "not the id of a broker: "+strconv.Quote(r.PathValue("id")))
		return
	case c.member == nil:
		refuse(w, http.StatusConflict, "this broker is alone: there is nobody to take its shards")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), drainPatience)
	defer cancel()
	status := http.StatusNoContent
	if r.Method == http.MethodPost {
		status, err = http.StatusAccepted, c.member.RequestDrain(ctx, int32(id))
	} else {
		err = c.member.UndoDrain(ctx, int32(id))
	}
	switch {
	case errors.Is(err, cluster.ErrNoSuchBroker):
		refuse(w, http.StatusNotFound, err.Error())
	case errors.Is(err, cluster.ErrNoTaker):
		refuse(w, http.StatusConflict, err.Error())
	case err != nil:
		refuse(w, http.StatusServiceUnavailable, err.Error())
	case status == http.StatusNoContent:
		w.WriteHeader(status)
	default:
		answer(w, status, map[string]int64{"draining": id})
	}
}

// onlyLocal lets requests through that a program on this machine has sent: from a loopback address, to one, not passed on by a proxy, and not
// made by a page in a browser that belongs to somebody else.
func onlyLocal(next http.Handler) http.Handler {
	pages := http.NewCrossOriginProtection()
	pages.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusForbidden, "changes are not made for pages of others in a browser")
	}))
	next = pages.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromHere(r) {
			refuse(w, http.StatusForbidden, "changes are made for callers on the broker's own machine only, by a loopback address: nobody logs in here. Run weir there")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// fromHere says whether a request was sent from a loopback address, to one, and not passed on by a proxy.
func fromHere(r *http.Request) bool {
	forwarded := slices.ContainsFunc([]string{"Forwarded", "X-Forwarded-For", "X-Real-Ip"}, func(h string) bool { return r.Header.Get(h) != "" })
	return !forwarded && loopback(r.RemoteAddr) && loopback(r.Host)
}

// loopback says whether host:port, or host, is this machine by a loopback address. Other names than localhost may be anybody's.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) //nolint:errcheck,errchkjson // the caller has gone
}

func refuse(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"error": text})
}
