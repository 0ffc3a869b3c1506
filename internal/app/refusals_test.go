package app_test

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/kafka/record"
)

// Names in the requests of the matrix. The topic and the group exist.
const (
	topicName = "orders"
	groupName = "billing"
	txnName   = "shop-1"
	newName   = "made-by-the-matrix"
	// A group of the consumer protocol with a member, and its topic.
	watchersName = "watchers"
	watchedTopic = "watched"
	anyTopic     = "any-topic" // stands for the question of whether there is one at all
	heldName     = "held-1"    // a transaction that is open all the time
)

func onTopic(op acl.Operation) right   { return right{op, acl.Topic, topicName} }
func onGroup(op acl.Operation) right   { return right{op, acl.Group, groupName} }
func onCluster(op acl.Operation) right { return right{op, acl.Cluster, acl.ClusterName} }
func onTxn(op acl.Operation) right     { return right{op, acl.TransactionalID, txnName} }

// req makes a request of a version, fills it in, and returns it.
func req[R any, P interface {
	*R
	kmsg.Request
	Default()
}](version int16, fill func(P)) kmsg.Request {
	p := P(new(R))
	p.Default()
	p.SetVersion(version)
	if fill != nil {
		fill(p)
	}
	return p
}

func batch(transactional bool) []byte {
	b := record.NewBuilder(record.None, 0)
	b.Append(1, nil, []byte("v"), nil)
	o := record.BuildOptions{}
	if transactional {
		o = record.BuildOptions{Producer: &record.Producer{ID: 7}, Transactional: true}
	}
	return b.Build(o)
}

const (
	topicDenied   = kafka.TopicAuthorizationFailed
	groupDenied   = kafka.GroupAuthorizationFailed
	clusterDenied = kafka.ClusterAuthorizationFailed
	txnDenied     = kafka.TransactionalIDAuthorizationFailed
)

// refusals is the table. A request that takes several rights has a row for each, in which it has the others.
func refusals(known settled) []refusal {
	var out []refusal
	add := func(needs right, code kafka.Error, r kmsg.Request, also ...right) {
		out = append(out, refusal{request: r, needs: needs, also: also, code: code})
	}
	sees := func(needs right, r kmsg.Request, seen func(kmsg.Response) bool, also ...right) {
		out = append(out, refusal{request: r, needs: needs, also: also, seen: seen})
	}
	dataRefusals(add)
	groupRefusals(add, sees)
	topicRefusals(add, sees)
	configRefusals(add)
	clusterRefusals(add, sees)
	transactionRefusals(add, sees)
	credentialRefusals(add, sees, known.tokenID)
	created, acknowledged := streamsRefusals(add), shareRefusals(add, sees, known.watched)
	return append(append(out, created...), acknowledged)
}

type (
	adder func(needs right, code kafka.Error, r kmsg.Request, also ...right)
	seer  func(needs right, r kmsg.Request, seen func(kmsg.Response) bool, also ...right)
)

func dataRefusals(add adder) {
	produce := func(transactional bool) kmsg.Request {
		return req(9, func(r *kmsg.ProduceRequest) {
			r.Acks, r.TimeoutMillis = -1, 1000
			if transactional {
				r.TransactionID = new(txnName)
			}
			t := kmsg.NewProduceRequestTopic()
			t.Topic = topicName
			p := kmsg.NewProduceRequestTopicPartition()
			p.Records = batch(transactional)
			t.Partitions = append(t.Partitions, p)
			r.Topics = append(r.Topics, t)
		})
	}
	add(onTopic(acl.Write), topicDenied, produce(false))
	add(onTxn(acl.Write), txnDenied, produce(true), onTopic(acl.Write))
	fetch := func(replica int32) kmsg.Request {
		return req(12, func(r *kmsg.FetchRequest) {
			r.ReplicaID, r.MaxBytes = replica, 1000
			t := kmsg.NewFetchRequestTopic()
			t.Topic = topicName
			t.Partitions = append(t.Partitions, kmsg.NewFetchRequestTopicPartition())
			r.Topics = append(r.Topics, t)
		})
	}
	add(onTopic(acl.Read), topicDenied, fetch(-1))
	add(onCluster(acl.ClusterAction), topicDenied, fetch(1), onTopic(acl.Read))
	add(onTopic(acl.Describe), topicDenied, req(7, func(r *kmsg.ListOffsetsRequest) {
		t := kmsg.NewListOffsetsRequestTopic()
		t.Topic = topicName
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Timestamp = -1
		t.Partitions = append(t.Partitions, p)
		r.Topics = append(r.Topics, t)
	}))
	epoch := req(4, func(r *kmsg.OffsetForLeaderEpochRequest) {
		t := kmsg.NewOffsetForLeaderEpochRequestTopic()
		t.Topic = topicName
		t.Partitions = append(t.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(onTopic(acl.Describe), topicDenied, epoch)
	add(onCluster(acl.ClusterAction), topicDenied, epoch)
	add(onTopic(acl.Delete), topicDenied, req(2, func(r *kmsg.DeleteRecordsRequest) {
		t := kmsg.NewDeleteRecordsRequestTopic()
		t.Topic = topicName
		t.Partitions = append(t.Partitions, kmsg.NewDeleteRecordsRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	}))
	add(onTopic(acl.Read), topicDenied, req(0, func(r *kmsg.DescribeProducersRequest) {
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = topicName, []int32{0}
		r.Topics = append(r.Topics, t)
	}))
}

func groupRefusals(add adder, sees seer) {
	commit := req(8, func(r *kmsg.OffsetCommitRequest) {
		r.Group, r.Generation = groupName, -1
		t := kmsg.NewOffsetCommitRequestTopic()
		t.Topic = topicName
		t.Partitions = append(t.Partitions, kmsg.NewOffsetCommitRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(onGroup(acl.Read), groupDenied, commit, onTopic(acl.Read))
	add(onTopic(acl.Read), topicDenied, commit, onGroup(acl.Read))
	offsets := req(8, func(r *kmsg.OffsetFetchRequest) {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = groupName
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topicName, []int32{0}
		g.Topics = append(g.Topics, t)
		r.Groups = append(r.Groups, g)
	})
	add(onGroup(acl.Describe), groupDenied, offsets, onTopic(acl.Describe))
	add(onTopic(acl.Describe), topicDenied, offsets, onGroup(acl.Describe))
	sees(onTopic(acl.Describe), req(8, func(r *kmsg.OffsetFetchRequest) {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group, g.Topics = groupName, nil
		r.Groups = append(r.Groups, g)
	}), func(res kmsg.Response) bool { return len(res.(*kmsg.OffsetFetchResponse).Groups[0].Topics) > 0 }, onGroup(acl.Describe))
	add(onGroup(acl.Describe), groupDenied, req(4, func(r *kmsg.FindCoordinatorRequest) { r.CoordinatorKeys = []string{groupName} }))
	add(onTxn(acl.Describe), txnDenied, req(4, func(r *kmsg.FindCoordinatorRequest) { r.CoordinatorType, r.CoordinatorKeys = 1, []string{txnName} }))
	add(onCluster(acl.ClusterAction), clusterDenied, req(6, func(r *kmsg.FindCoordinatorRequest) {
		r.CoordinatorType, r.CoordinatorKeys = 2, []string{"group:AAAAAAAAAAAAAAAAAAAAAQ:0"}
	}))
	add(onGroup(acl.Read), groupDenied, req(9, func(r *kmsg.JoinGroupRequest) {
		r.Group, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = groupName, "consumer", 10_000, 10_000
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name = "range"
		r.Protocols = append(r.Protocols, p)
	}))
	add(onGroup(acl.Read), groupDenied, req(4, func(r *kmsg.HeartbeatRequest) { r.Group, r.MemberID = groupName, "m" }))
	add(onGroup(acl.Read), groupDenied, req(5, func(r *kmsg.LeaveGroupRequest) { r.Group = groupName }))
	add(onGroup(acl.Read), groupDenied, req(5, func(r *kmsg.SyncGroupRequest) {
		r.Group, r.MemberID, r.ProtocolType, r.Protocol = groupName, "m", new("consumer"), new("range")
	}))
	add(onGroup(acl.Describe), groupDenied, req(5, func(r *kmsg.DescribeGroupsRequest) { r.Groups = []string{groupName} }))
	groups := req(4, func(*kmsg.ListGroupsRequest) {})
	listed := func(res kmsg.Response) bool { return len(res.(*kmsg.ListGroupsResponse).Groups) > 0 }
	sees(onGroup(acl.Describe), groups, listed)
	sees(onCluster(acl.Describe), groups, listed)
	heard, watched := right{acl.Read, acl.Group, "heard"}, right{acl.Describe, acl.Topic, watchedTopic}
	heartbeat := consumerHeartbeat("heard")
	add(heard, groupDenied, heartbeat, watched)
	add(watched, topicDenied, heartbeat, heard)
	watchers := right{acl.Describe, acl.Group, watchersName}
	consumers := req(1, func(r *kmsg.ConsumerGroupDescribeRequest) { r.Groups = []string{watchersName} })
	add(watchers, groupDenied, consumers, watched)
	add(watched, topicDenied, consumers, watchers)
	add(onGroup(acl.Delete), groupDenied, req(2, func(r *kmsg.DeleteGroupsRequest) { r.Groups = []string{groupName} }))
	remove := req(0, func(r *kmsg.OffsetDeleteRequest) {
		r.Group = groupName
		t := kmsg.NewOffsetDeleteRequestTopic()
		t.Topic = topicName
		t.Partitions = append(t.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(onGroup(acl.Delete), groupDenied, remove, onTopic(acl.Read))
	add(onTopic(acl.Read), topicDenied, remove, onGroup(acl.Delete))
}

// consumerHeartbeat joins a group of the consumer protocol.
func consumerHeartbeat(group string) kmsg.Request {
	return req(1, func(r *kmsg.ConsumerGroupHeartbeatRequest) {
		r.Group, r.MemberID, r.MemberEpoch, r.RebalanceTimeoutMillis = group, "m-1", 0, 60_000
		r.SubscribedTopicNames, r.Topics = []string{watchedTopic}, []kmsg.ConsumerGroupHeartbeatRequestTopic{}
	})
}

func topicRefusals(add adder, sees seer) {
	metadata := func(name *string, create bool) kmsg.Request {
		return req(9, func(r *kmsg.MetadataRequest) {
			r.AllowAutoTopicCreation, r.IncludeTopicAuthorizedOperations = create, true
			if name != nil {
				t := kmsg.NewMetadataRequestTopic()
				t.Topic = name
				r.Topics = append(r.Topics, t)
			} else {
				r.Topics = nil
			}
		})
	}
	add(onTopic(acl.Describe), topicDenied, metadata(new(topicName), false))
	sees(onTopic(acl.Describe), metadata(nil, false), func(res kmsg.Response) bool { return len(res.(*kmsg.MetadataResponse).Topics) > 0 })
	auto := right{acl.Create, acl.Topic, "not-valid:but-asked-for"}
	describeAuto := right{acl.Describe, acl.Topic, auto.name}
	add(auto, topicDenied, metadata(&auto.name, true), describeAuto)
	add(onCluster(acl.Create), topicDenied, metadata(&auto.name, true), describeAuto)
	sees(onCluster(acl.Describe), req(9, func(r *kmsg.MetadataRequest) {
		r.Topics, r.IncludeClusterAuthorizedOperations = []kmsg.MetadataRequestTopic{}, true
	}), func(res kmsg.Response) bool { return res.(*kmsg.MetadataResponse).AuthorizedOperations != 0 })
	create := req(5, func(r *kmsg.CreateTopicsRequest) {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = newName, 1, 1
		r.Topics, r.ValidateOnly = append(r.Topics, t), true
	})
	describe := right{acl.DescribeConfigs, acl.Topic, newName}
	add(right{acl.Create, acl.Topic, newName}, topicDenied, create, describe)
	add(onCluster(acl.Create), topicDenied, create, describe)
	letters := right{acl.Write, acl.Topic, "letters"}
	add(letters, topicDenied, req(5, func(r *kmsg.CreateTopicsRequest) {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = newName, 1, 1
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = "weir.contract.dlq.topic", &letters.name
		t.Configs = append(t.Configs, c)
		r.Topics, r.ValidateOnly = append(r.Topics, t), true
	}), right{acl.Create, acl.Topic, newName}, describe)
	sees(describe, create, func(res kmsg.Response) bool { return res.(*kmsg.CreateTopicsResponse).Topics[0].ConfigErrorCode == 0 }, onCluster(acl.Create))
	remove := req(5, func(r *kmsg.DeleteTopicsRequest) { r.TopicNames = []string{topicName} })
	add(onTopic(acl.Delete), topicDenied, remove)
	add(onCluster(acl.Delete), topicDenied, remove)
	add(right{acl.Describe, acl.Topic, newName}, topicDenied, req(5, func(r *kmsg.DeleteTopicsRequest) { r.TopicNames = []string{newName} }))
	add(onTopic(acl.Alter), topicDenied, req(3, func(r *kmsg.CreatePartitionsRequest) {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = topicName, 1
		r.Topics = append(r.Topics, t)
	}))
	partitions := func(all bool) kmsg.Request {
		return req(0, func(r *kmsg.DescribeTopicPartitionsRequest) {
			r.ResponsePartitionLimit = 100
			if !all {
				t := kmsg.NewDescribeTopicPartitionsRequestTopic()
				t.Topic = topicName
				r.Topics = append(r.Topics, t)
			}
		})
	}
	add(onTopic(acl.Describe), topicDenied, partitions(false))
	sees(onTopic(acl.Describe), partitions(true), func(res kmsg.Response) bool { return len(res.(*kmsg.DescribeTopicPartitionsResponse).Topics) > 0 })
}

func configRefusals(add adder) {
	for _, x := range []struct {
		kind kmsg.ConfigResourceType
		name string
		on   right
		code kafka.Error
	}{
		{kmsg.ConfigResourceTypeTopic, topicName, onTopic(0), topicDenied},
		{kmsg.ConfigResourceTypeGroupConfig, groupName, onGroup(0), groupDenied},
		{kmsg.ConfigResourceTypeBroker, "1", onCluster(0), clusterDenied},
	} {
		describe, alter := x.on, x.on
		describe.op, alter.op = acl.DescribeConfigs, acl.AlterConfigs
		add(describe, x.code, req(4, func(r *kmsg.DescribeConfigsRequest) {
			c := kmsg.NewDescribeConfigsRequestResource()
			c.ResourceType, c.ResourceName = x.kind, x.name
			r.Resources = append(r.Resources, c)
		}))
		add(alter, x.code, req(2, func(r *kmsg.AlterConfigsRequest) {
			c := kmsg.NewAlterConfigsRequestResource()
			c.ResourceType, c.ResourceName = x.kind, x.name
			r.Resources, r.ValidateOnly = append(r.Resources, c), true
		}))
		add(alter, x.code, req(1, func(r *kmsg.IncrementalAlterConfigsRequest) {
			c := kmsg.NewIncrementalAlterConfigsRequestResource()
			c.ResourceType, c.ResourceName = x.kind, x.name
			r.Resources, r.ValidateOnly = append(r.Resources, c), true
		}))
	}
	add(onCluster(acl.DescribeConfigs), clusterDenied, req(1, func(*kmsg.ListConfigResourcesRequest) {}))
	letters := right{acl.Write, acl.Topic, "letters"}
	add(letters, topicDenied, req(2, func(r *kmsg.AlterConfigsRequest) {
		c, x := kmsg.NewAlterConfigsRequestResource(), kmsg.NewAlterConfigsRequestResourceConfig()
		c.ResourceType, c.ResourceName, x.Name, x.Value = kmsg.ConfigResourceTypeTopic, topicName, "weir.contract.dlq.topic", &letters.name
		c.Configs = append(c.Configs, x)
		r.Resources, r.ValidateOnly = append(r.Resources, c), true
	}), onTopic(acl.AlterConfigs))
	add(letters, topicDenied, req(1, func(r *kmsg.IncrementalAlterConfigsRequest) {
		c, x := kmsg.NewIncrementalAlterConfigsRequestResource(), kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.ResourceType, c.ResourceName, x.Name, x.Value = kmsg.ConfigResourceTypeTopic, topicName, "weir.contract.dlq.topic", &letters.name
		c.Configs = append(c.Configs, x)
		r.Resources, r.ValidateOnly = append(r.Resources, c), true
	}), onTopic(acl.AlterConfigs))
}

func clusterRefusals(add adder, sees seer) {
	add(onCluster(acl.Describe), clusterDenied, req(2, func(r *kmsg.DescribeACLsRequest) {
		r.ResourceType, r.ResourcePatternType, r.Operation, r.PermissionType = 1, 1, 1, 1
	}))
	add(onCluster(acl.Alter), clusterDenied, req(2, func(r *kmsg.CreateACLsRequest) {
		c := kmsg.NewCreateACLsRequestCreation()
		c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Principal, c.Host, c.Operation, c.PermissionType = 2, "other", 3, "User:x", "*", 3, 3
		r.Creations = append(r.Creations, c)
	}))
	add(onCluster(acl.Alter), clusterDenied, req(2, func(r *kmsg.DeleteACLsRequest) {
		f := kmsg.NewDeleteACLsRequestFilter()
		f.ResourceType, f.ResourceName, f.ResourcePatternType, f.Operation, f.PermissionType = 2, new("none"), 3, 1, 1
		r.Filters = append(r.Filters, f)
	}))
	add(onCluster(acl.Describe), clusterDenied, req(4, func(r *kmsg.DescribeLogDirsRequest) { r.Topics = nil }))
	add(onCluster(acl.Alter), clusterDenied, req(2, func(r *kmsg.AlterReplicaLogDirsRequest) {
		d := kmsg.NewAlterReplicaLogDirsRequestDir()
		d.Dir = "/none"
		t := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
		t.Topic, t.Partitions = topicName, []int32{0}
		d.Topics = append(d.Topics, t)
		r.Dirs = append(r.Dirs, d)
	}))
	add(onCluster(acl.Alter), clusterDenied, req(2, func(r *kmsg.ElectLeadersRequest) {
		t := kmsg.NewElectLeadersRequestTopic()
		t.Topic, t.Partitions = topicName, []int32{0}
		r.Topics = append(r.Topics, t)
	}))
	add(onCluster(acl.Alter), clusterDenied, req(0, func(*kmsg.AlterPartitionAssignmentsRequest) {}))
	add(onCluster(acl.Describe), clusterDenied, req(0, func(r *kmsg.ListPartitionReassignmentsRequest) { r.Topics = nil }))
	add(onCluster(acl.Describe), clusterDenied, req(1, func(*kmsg.DescribeQuorumRequest) {}))
	add(onCluster(acl.Alter), clusterDenied, req(1, func(r *kmsg.UpdateFeaturesRequest) {
		u := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
		u.Feature, u.MaxVersionLevel, u.UpgradeType = "none", 1, 1
		r.FeatureUpdates = append(r.FeatureUpdates, u)
	}))
	sees(onCluster(acl.Describe), req(1, func(r *kmsg.DescribeClusterRequest) { r.IncludeClusterAuthorizedOperations = true }),
		func(res kmsg.Response) bool {
			return res.(*kmsg.DescribeClusterResponse).ClusterAuthorizedOperations != 0
		})
	add(onCluster(acl.Alter), clusterDenied, req(0, func(r *kmsg.UnregisterBrokerRequest) { r.BrokerID = 77 }))
	add(onCluster(acl.Alter), clusterDenied, req(0, func(r *kmsg.AddRaftVoterRequest) { r.VoterID = 9 }))
	add(onCluster(acl.Alter), clusterDenied, req(0, func(r *kmsg.RemoveRaftVoterRequest) { r.VoterID = 9 }))
}

func transactionRefusals(add adder, sees seer) {
	idempotent := req(4, func(r *kmsg.InitProducerIDRequest) { r.ProducerID, r.ProducerEpoch = -1, -1 })
	add(onCluster(acl.IdempotentWrite), clusterDenied, idempotent)
	add(right{acl.Write, acl.Topic, anyTopic}, clusterDenied, idempotent)
	add(onTxn(acl.Write), txnDenied, req(4, func(r *kmsg.InitProducerIDRequest) {
		r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = new(txnName), 1000, -1, -1
	}))
	partitions := func() kmsg.Request {
		return req(3, func(r *kmsg.AddPartitionsToTxnRequest) {
			r.TransactionalID, r.ProducerID = txnName, 1
			t := kmsg.NewAddPartitionsToTxnRequestTopic()
			t.Topic, t.Partitions = topicName, []int32{0}
			r.Topics = append(r.Topics, t)
		})
	}
	add(onTxn(acl.Write), txnDenied, partitions(), onTopic(acl.Write))
	add(onTopic(acl.Write), topicDenied, partitions(), onTxn(acl.Write))
	add(onCluster(acl.ClusterAction), clusterDenied, req(4, func(*kmsg.AddPartitionsToTxnRequest) {}))
	offsets := req(3, func(r *kmsg.AddOffsetsToTxnRequest) { r.TransactionalID, r.ProducerID, r.Group = txnName, 1, groupName })
	add(onTxn(acl.Write), txnDenied, offsets, onGroup(acl.Read))
	add(onGroup(acl.Read), groupDenied, offsets, onTxn(acl.Write))
	add(onTxn(acl.Write), txnDenied, req(3, func(r *kmsg.EndTxnRequest) { r.TransactionalID, r.ProducerID = txnName, 1 }))
	markers := req(1, func(r *kmsg.WriteTxnMarkersRequest) {
		x := kmsg.NewWriteTxnMarkersRequestMarker()
		x.ProducerID, x.Committed = 1_000_000, false
		t := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
		t.Topic, t.Partitions = topicName, []int32{0}
		x.Topics = append(x.Topics, t)
		r.Markers = append(r.Markers, x)
	})
	add(onCluster(acl.ClusterAction), clusterDenied, markers)
	add(onCluster(acl.Alter), clusterDenied, markers)
	commit := req(3, func(r *kmsg.TxnOffsetCommitRequest) {
		r.TransactionalID, r.Group, r.ProducerID, r.Generation = txnName, groupName, 1, -1
		t := kmsg.NewTxnOffsetCommitRequestTopic()
		t.Topic = topicName
		t.Partitions = append(t.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
		r.Topics = append(r.Topics, t)
	})
	add(onTxn(acl.Write), txnDenied, commit, onGroup(acl.Read), onTopic(acl.Read))
	add(onGroup(acl.Read), groupDenied, commit, onTxn(acl.Write), onTopic(acl.Read))
	add(onTopic(acl.Read), topicDenied, commit, onTxn(acl.Write), onGroup(acl.Read))
	add(onTxn(acl.Describe), txnDenied, req(0, func(r *kmsg.DescribeTransactionsRequest) { r.TransactionalIDs = []string{txnName} }))
	held := right{acl.Describe, acl.TransactionalID, heldName}
	sees(held, req(0, func(*kmsg.ListTransactionsRequest) {}), func(res kmsg.Response) bool { return len(res.(*kmsg.ListTransactionsResponse).TransactionStates) > 0 })
	sees(onTopic(acl.Describe), req(0, func(r *kmsg.DescribeTransactionsRequest) { r.TransactionalIDs = []string{heldName} }),
		func(res kmsg.Response) bool {
			return len(res.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].Topics) > 0
		}, held)
}

func credentialRefusals(add adder, sees seer, tokenID string) {
	add(onCluster(acl.DescribeConfigs), clusterDenied, req(1, func(*kmsg.DescribeClientQuotasRequest) {}))
	add(onCluster(acl.AlterConfigs), clusterDenied, req(1, func(r *kmsg.AlterClientQuotasRequest) {
		e := kmsg.NewAlterClientQuotasRequestEntry()
		n := kmsg.NewAlterClientQuotasRequestEntryEntity()
		n.Type, n.Name = "user", new("bob")
		e.Entity = append(e.Entity, n)
		r.Entries, r.ValidateOnly = append(r.Entries, e), true
	}))
	add(onCluster(acl.Describe), clusterDenied, req(0, func(*kmsg.DescribeUserSCRAMCredentialsRequest) {}))
	add(onCluster(acl.Alter), clusterDenied, req(0, func(r *kmsg.AlterUserSCRAMCredentialsRequest) {
		d := kmsg.NewAlterUserSCRAMCredentialsRequestDeletion()
		d.Name, d.Mechanism = "nobody", 1
		r.Deletions = append(r.Deletions, d)
	}))
	add(right{acl.CreateTokens, acl.User, "User:bob"}, kafka.DelegationTokenAuthorizationFailed, req(3, func(r *kmsg.CreateDelegationTokenRequest) {
		r.OwnerPrincipalType, r.OwnerPrincipalName, r.MaxLifetimeMillis = new("User"), new("bob"), 1000
	}))
	tokens := req(3, func(r *kmsg.DescribeDelegationTokenRequest) {
		r.Owners = append(r.Owners, kmsg.DescribeDelegationTokenRequestOwner{PrincipalType: root.Type, PrincipalName: root.Name})
	})
	shown := func(res kmsg.Response) bool { return len(res.(*kmsg.DescribeDelegationTokenResponse).TokenDetails) > 0 }
	sees(right{acl.DescribeTokens, acl.User, root.String()}, tokens, shown)
	sees(right{acl.Describe, acl.DelegationToken, tokenID}, tokens, shown)
}
