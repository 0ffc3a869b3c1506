package api

import (
	"math"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/topics"
)

// How clients are held to quotas: what a request used is counted when it is handled, the answer says at once for how long
// the client shall wait, and the connection starts nothing more for that long, whether the client waits or not (KIP-219).

// waiting are the requests whose handlers wait for others, or for a disk. Of them only decoding counts as time used.
var waiting = []kmsg.Key{
	kmsg.OffsetCommit, kmsg.JoinGroup, kmsg.Heartbeat, kmsg.LeaveGroup, kmsg.SyncGroup, kmsg.CreateTopics, kmsg.DeleteTopics, kmsg.DeleteRecords, kmsg.InitProducerID,
	kmsg.AddPartitionsToTxn, kmsg.AddOffsetsToTxn, kmsg.EndTxn, kmsg.WriteTxnMarkers, kmsg.TxnOffsetCommit, kmsg.CreateACLs, kmsg.DeleteACLs, kmsg.AlterConfigs,
	kmsg.CreatePartitions, kmsg.DeleteGroups, kmsg.IncrementalAlterConfigs, kmsg.OffsetDelete, kmsg.AlterClientQuotas, kmsg.AlterUserSCRAMCredentials, kmsg.UpdateFeatures,
	kmsg.ConsumerGroupHeartbeat, kmsg.ShareGroupHeartbeat, kmsg.ShareFetch, kmsg.ShareAcknowledge, kmsg.StreamsGroupHeartbeat,
}

// client is whom the quotas of a connection are looked up for.
func (c *Conn) client() quota.Client { return quota.Client{User: c.Principal.Name, ID: c.ClientID} }

// hold makes the answer to the request that is being handled, and the connection, wait for d at least.
func (c *Conn) hold(d time.Duration) { c.held = max(c.held, d) }

// meter notes that a request begins to be handled.
func (s *Server) meter(c *Conn, started time.Time, key int16) {
	c.held, c.started, c.used, c.countsAll = 0, started, 0, true
	if s.quotas.HasRequest() {
		c.countsAll = !slices.Contains(waiting, kmsg.Key(key))
	}
}

// pause leaves the time since then out of what the request used.
func (c *Conn) pause(waited time.Duration) { c.used -= waited }

// throttle counts the time that a request used and returns for how long the client has to wait, for this or for what was
// held before. From then on the connection is held, too.
func (s *Server) throttle(c *Conn) (millis int32) {
	if c.isBroker() {
		return 0
	}
	if s.quotas.HasRequest() {
		used := c.used
		if c.countsAll {
			used += s.now().Sub(c.started)
		}
		c.hold(s.quotas.Record(quota.Request, c.client(), quota.TimeOf(max(used, 0)), s.now()))
	}
	if c.held <= 0 {
		return 0
	}
	c.Hold(time.Now().Add(c.held))
	return int32(min(c.held.Milliseconds(), math.MaxInt32)) //nolint:gosec // bounded
}

// throttleFetch counts the bytes of an answer. If it is over the quota an empty answer is sent in its place, and the bytes
// do not count.
func (s *Server) throttleFetch(c *Conn, results []fetchResult) (throttled bool, millis int32) {
	bytes := 0.0
	for i := range results {
		bytes += float64(results[i].read.Bytes)
	}
	over := s.quotas.Record(quota.Fetch, c.client(), bytes, s.now())
	c.hold(over)
	if millis = s.throttle(c); millis == 0 {
		return false, 0
	}
	s.quotas.Refund(quota.Fetch, c.client(), bytes, s.now())
	for i := range results {
		results[i].read.Drop()
	}
	return true, millis
}

// mutations is the account of a request that makes or deletes partitions; strict from the version on that knows
// THROTTLING_QUOTA_EXCEEDED.
func (s *Server) mutations(c *Conn, version, knows int16) *quota.Mutations {
	return s.quotas.Mutations(c.client(), version >= knows)
}

// admitTopics takes the partitions of topics that would be created out of the client's quota, and returns a reason for each
// that it does not have room for, or that could not be created anyway.
func (s *Server) admitTopics(c *Conn, version int16, planned []topics.Created) []error {
	account := s.mutations(c, version, createTopicsThrottled)
	errs := make([]error, len(planned))
	for i, p := range planned {
		if errs[i] = p.Err; p.Err == nil {
			errs[i] = account.Take(int(p.Topic.Partitions), s.now())
		}
	}
	c.hold(account.Throttle())
	return errs
}

// Versions from which on requests are refused with THROTTLING_QUOTA_EXCEEDED.
const (
	createTopicsThrottled     = 6
	deleteTopicsThrottled     = 5
	createPartitionsThrottled = 3
)
