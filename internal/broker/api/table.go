package api

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
)

//go:generate go run ../../../tools/apidoc ../../../docs/api.md

// entry lists one API key: the versions that are served and who serves them.
type entry struct {
	key      kmsg.Key
	min, max int16
	handle   handler
	name     string
	// needs are what a caller may have to be allowed; an entry without one is a mistake that New refuses.
	needs []Need
	// advertised is the lowest version that ApiVersions names, where it lies below min.
	advertised int16
}

func (e *entry) serves() int16 { return e.min }

func row(key kmsg.Key, lowest, highest int16, h handler, needs ...Need) entry {
	return entry{key: key, min: lowest, max: highest, handle: h, name: key.Name(), needs: needs, advertised: lowest}
}

// table returns the only list of what is served. ApiVersions, docs/api.md and the tests read it.
//
// Produce is advertised from 0 although only 3 and up are served: librdkafka before 2.x looks for the old versions to
// decide what the broker can do, and then sends a new one (KAFKA-18659).
func table() []entry {
	produce := row(kmsg.Produce, 3, 13, (*Server).produce, need(auth.Write, auth.Topic), need(auth.Write, auth.TransactionalID))
	produce.advertised = 0
	return []entry{
		produce,
		row(kmsg.Fetch, 4, 18, (*Server).fetch, need(auth.Read, auth.Topic), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.ListOffsets, 1, 11, serve((*Server).listOffsets), need(auth.Describe, auth.Topic)),
		row(kmsg.Metadata, 0, 13, serve((*Server).metadata), need(auth.Describe, auth.Topic), need(auth.Create, auth.Topic), need(auth.Create, auth.Cluster), need(auth.Describe, auth.Cluster)),
		row(kmsg.OffsetCommit, 2, 10, serve((*Server).offsetCommit), need(auth.Read, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.OffsetFetch, 1, 10, serve((*Server).offsetFetch), need(auth.Describe, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.FindCoordinator, 0, 6, serve((*Server).findCoordinator), need(auth.Describe, auth.Group), need(auth.Describe, auth.TransactionalID), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.JoinGroup, 0, 9, serve((*Server).joinGroup), need(auth.Read, auth.Group)),
		row(kmsg.Heartbeat, 0, 4, serve((*Server).heartbeat), need(auth.Read, auth.Group)),
		row(kmsg.LeaveGroup, 0, 5, serve((*Server).leaveGroup), need(auth.Read, auth.Group)),
		row(kmsg.SyncGroup, 0, 5, serve((*Server).syncGroup), need(auth.Read, auth.Group)),
		row(kmsg.DescribeGroups, 0, 6, serve((*Server).describeGroups), need(auth.Describe, auth.Group)),
		row(kmsg.ListGroups, 0, 5, serve((*Server).listGroups), need(auth.Describe, auth.Cluster), need(auth.Describe, auth.Group)),
		row(kmsg.SASLHandshake, 0, 1, serve((*Server).saslHandshake), nothing()),
		row(kmsg.ApiVersions, 0, 4, serve((*Server).apiVersions), nothing()),
		row(kmsg.CreateTopics, 2, 7, serve((*Server).createTopics), need(auth.Create, auth.Cluster), need(auth.Create, auth.Topic), need(auth.DescribeConfigs, auth.Topic), need(auth.Write, auth.Topic)),
		row(kmsg.DeleteTopics, 1, 6, serve((*Server).deleteTopics), need(auth.Delete, auth.Cluster), need(auth.Delete, auth.Topic), need(auth.Describe, auth.Topic)),
		row(kmsg.DeleteRecords, 0, 2, serve((*Server).deleteRecords), need(auth.Delete, auth.Topic)),
		row(kmsg.InitProducerID, 0, 5, serve((*Server).initProducerID), need(auth.Write, auth.TransactionalID), need(auth.IdempotentWrite, auth.Cluster), need(auth.Write, auth.Topic)),
		row(kmsg.OffsetForLeaderEpoch, 2, 4, serve((*Server).offsetForLeaderEpoch), need(auth.ClusterAction, auth.Cluster), need(auth.Describe, auth.Topic)),
		row(kmsg.AddPartitionsToTxn, 0, 5, serve((*Server).addPartitionsToTxn), need(auth.Write, auth.TransactionalID), need(auth.Write, auth.Topic), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.AddOffsetsToTxn, 0, 4, serve((*Server).addOffsetsToTxn), need(auth.Write, auth.TransactionalID), need(auth.Read, auth.Group)),
		row(kmsg.EndTxn, 0, 5, serve((*Server).endTxn), need(auth.Write, auth.TransactionalID)),
		row(kmsg.WriteTxnMarkers, 1, 2, serve((*Server).writeTxnMarkers), need(auth.Alter, auth.Cluster), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.TxnOffsetCommit, 0, 5, serve((*Server).txnOffsetCommit), need(auth.Write, auth.TransactionalID), need(auth.Read, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.DescribeACLs, 1, 3, serve((*Server).describeACLs), need(auth.Describe, auth.Cluster)),
		row(kmsg.CreateACLs, 1, 3, serve((*Server).createACLs), need(auth.Alter, auth.Cluster)),
		row(kmsg.DeleteACLs, 1, 3, serve((*Server).deleteACLs), need(auth.Alter, auth.Cluster)),
		row(kmsg.DescribeConfigs, 1, 4, serve((*Server).describeConfigs), need(auth.DescribeConfigs, auth.Topic), need(auth.DescribeConfigs, auth.Cluster), need(auth.DescribeConfigs, auth.Group)),
		row(kmsg.AlterConfigs, 0, 2, serve((*Server).alterConfigs), need(auth.AlterConfigs, auth.Topic), need(auth.AlterConfigs, auth.Cluster), need(auth.AlterConfigs, auth.Group), need(auth.Write, auth.Topic)),
		row(kmsg.AlterReplicaLogDirs, 1, 2, serve((*Server).alterReplicaLogDirs), need(auth.Alter, auth.Cluster)),
		row(kmsg.DescribeLogDirs, 1, 5, serve((*Server).describeLogDirs), need(auth.Describe, auth.Cluster)),
		row(kmsg.SASLAuthenticate, 0, 2, (*Server).saslAuthenticate, nothing()),
		row(kmsg.CreatePartitions, 0, 3, serve((*Server).createPartitions), need(auth.Alter, auth.Topic)),
		row(kmsg.CreateDelegationToken, 1, 3, serve((*Server).createDelegationToken), nothing(), need(auth.CreateTokens, auth.User)),
		row(kmsg.RenewDelegationToken, 1, 2, serve((*Server).renewDelegationToken), nothing()),
		row(kmsg.ExpireDelegationToken, 1, 2, serve((*Server).expireDelegationToken), nothing()),
		row(kmsg.DescribeDelegationToken, 1, 3, serve((*Server).describeDelegationToken), nothing(), need(auth.Describe, auth.DelegationToken), need(auth.DescribeTokens, auth.User)),
		row(kmsg.DeleteGroups, 0, 2, serve((*Server).deleteGroups), need(auth.Delete, auth.Group)),
		row(kmsg.ElectLeaders, 0, 2, serve((*Server).electLeaders), need(auth.Alter, auth.Cluster)),
		row(kmsg.IncrementalAlterConfigs, 0, 1, serve((*Server).incrementalAlterConfigs), need(auth.AlterConfigs, auth.Topic), need(auth.AlterConfigs, auth.Cluster), need(auth.AlterConfigs, auth.Group), need(auth.Write, auth.Topic)),
		row(kmsg.AlterPartitionAssignments, 0, 1, serve((*Server).alterPartitionAssignments), need(auth.Alter, auth.Cluster)),
		row(kmsg.ListPartitionReassignments, 0, 0, serve((*Server).listPartitionReassignments), need(auth.Describe, auth.Cluster)),
		row(kmsg.OffsetDelete, 0, 0, serve((*Server).offsetDelete), need(auth.Delete, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.DescribeClientQuotas, 0, 1, serve((*Server).describeClientQuotas), need(auth.DescribeConfigs, auth.Cluster)),
		row(kmsg.AlterClientQuotas, 0, 1, serve((*Server).alterClientQuotas), need(auth.AlterConfigs, auth.Cluster)),
		row(kmsg.DescribeUserSCRAMCredentials, 0, 0, serve((*Server).describeUserScramCredentials), need(auth.Describe, auth.Cluster)),
		row(kmsg.AlterUserSCRAMCredentials, 0, 0, serve((*Server).alterUserScramCredentials), need(auth.Alter, auth.Cluster)),
		row(kmsg.DescribeQuorum, 0, 2, serve((*Server).describeQuorum), need(auth.Describe, auth.Cluster)),
		row(kmsg.UpdateFeatures, 0, 2, serve((*Server).updateFeatures), need(auth.Alter, auth.Cluster)),
		row(kmsg.DescribeCluster, 0, 2, serve((*Server).describeCluster), need(auth.Describe, auth.Cluster)),
		row(kmsg.DescribeProducers, 0, 0, serve((*Server).describeProducers), need(auth.Read, auth.Topic)),
		row(kmsg.UnregisterBroker, 0, 0, serve((*Server).unregisterBroker), need(auth.Alter, auth.Cluster)),
		row(kmsg.DescribeTransactions, 0, 0, serve((*Server).describeTransactions), need(auth.Describe, auth.TransactionalID), need(auth.Describe, auth.Topic)),
		row(kmsg.ListTransactions, 0, 2, serve((*Server).listTransactions), need(auth.Describe, auth.TransactionalID)),
		row(kmsg.ConsumerGroupHeartbeat, 0, 1, serve((*Server).consumerGroupHeartbeat), need(auth.Read, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.ConsumerGroupDescribe, 0, 1, serve((*Server).consumerGroupDescribe), need(auth.Describe, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.GetTelemetrySubscriptions, 0, 0, serve((*Server).getTelemetrySubscriptions), nothing()),
		row(kmsg.PushTelemetry, 0, 0, serve((*Server).pushTelemetry), nothing()),
		row(kmsg.ListConfigResources, 0, 1, serve((*Server).listConfigResources), need(auth.DescribeConfigs, auth.Cluster)),
		row(kmsg.DescribeTopicPartitions, 0, 0, serve((*Server).describeTopicPartitions), need(auth.Describe, auth.Topic)),
		row(kmsg.ShareGroupHeartbeat, 1, 1, serve((*Server).shareGroupHeartbeat), need(auth.Read, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.ShareGroupDescribe, 1, 1, serve((*Server).shareGroupDescribe), need(auth.Describe, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.ShareFetch, 1, 2, (*Server).shareFetch, need(auth.Read, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.ShareAcknowledge, 1, 2, serve((*Server).shareAcknowledge), need(auth.Read, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.AddRaftVoter, 0, 1, serve((*Server).addRaftVoter), need(auth.Alter, auth.Cluster)),
		row(kmsg.RemoveRaftVoter, 0, 0, serve((*Server).removeRaftVoter), need(auth.Alter, auth.Cluster)),
		row(kmsg.InitializeShareGroupState, 0, 0, serve((*Server).initializeShareGroupState), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.ReadShareGroupState, 0, 0, serve((*Server).readShareGroupState), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.WriteShareGroupState, 0, 1, serve((*Server).writeShareGroupState), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.DeleteShareGroupState, 0, 0, serve((*Server).deleteShareGroupState), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.ReadShareGroupStateSummary, 0, 1, serve((*Server).readShareGroupStateSummary), need(auth.ClusterAction, auth.Cluster)),
		row(kmsg.StreamsGroupHeartbeat, 0, 0, serve((*Server).streamsGroupHeartbeat), need(auth.Read, auth.Group), need(auth.Describe, auth.Topic), need(auth.Create, auth.Cluster), need(auth.Create, auth.Topic)),
		row(kmsg.StreamsGroupDescribe, 0, 0, serve((*Server).streamsGroupDescribe), need(auth.Describe, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.DescribeShareGroupOffsets, 0, 1, serve((*Server).describeShareGroupOffsets), need(auth.Describe, auth.Group), need(auth.Describe, auth.Topic)),
		row(kmsg.AlterShareGroupOffsets, 0, 0, serve((*Server).alterShareGroupOffsets), need(auth.Read, auth.Group), need(auth.Read, auth.Topic)),
		row(kmsg.DeleteShareGroupOffsets, 0, 0, serve((*Server).deleteShareGroupOffsets), need(auth.Delete, auth.Group), need(auth.Read, auth.Topic)),
	}
}

// Serves says whether the table has a key.
func Serves(key int16) bool {
	return slices.ContainsFunc(table(), func(e entry) bool { return int16(e.key) == key })
}

// Row is what docs/api.md says of a key: the versions that are served, the lowest that is advertised, the file of
// the handler, and what callers may have to be allowed.
type Row struct {
	Key                  int16
	Name, File           string
	Min, Max, Advertised int16
	Needs                []Need // none but the zero Need where every client may call
}

// Served returns the rows of the table in order of key.
func Served() []Row {
	var rows []Row
	for _, e := range table() {
		rows = append(rows, Row{Key: int16(e.key), Name: e.name, File: fileOf(e.key), Min: e.min, Max: e.max, Advertised: e.advertised, Needs: e.needs})
	}
	return rows
}

// fileOf returns the name of a handler's file: 22_init_producer_id.go for InitProducerID.
func fileOf(key kmsg.Key) string {
	var b strings.Builder
	name := []rune(key.Name())
	for i, r := range name {
		// A word begins at a capital letter; a run of capitals such as ID, or ACLs, is one word.
		if i > 0 && unicode.IsUpper(r) && (unicode.IsLower(name[i-1]) || i+1 < len(name) && unicode.IsLower(name[i+1]) && string(name[i+1:]) != "s") {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return fmt.Sprintf("%02d_%s.go", int16(key), b.String())
}
