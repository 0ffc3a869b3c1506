package rest

import (
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Clusters and brokers.
type (
	// Cluster is the cluster.
	Cluster struct {
		Kind                   string   `json:"kind"`
		Metadata               Metadata `json:"metadata"`
		ClusterID              string   `json:"cluster_id"`
		Controller             *Related `json:"controller"`
		ACLs                   Related  `json:"acls"`
		Brokers                Related  `json:"brokers"`
		BrokerConfigs          Related  `json:"broker_configs"`
		ConsumerGroups         Related  `json:"consumer_groups"`
		Topics                 Related  `json:"topics"`
		PartitionReassignments Related  `json:"partition_reassignments"`
	}
	// ClusterList holds the one cluster.
	ClusterList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Cluster    `json:"data"`
	}
	// Broker is a broker.
	Broker struct {
		Kind              string   `json:"kind"`
		Metadata          Metadata `json:"metadata"`
		ClusterID         string   `json:"cluster_id"`
		BrokerID          int32    `json:"broker_id"`
		Host              string   `json:"host"`
		Port              int32    `json:"port"`
		Rack              *string  `json:"rack"`
		Configs           Related  `json:"configs"`
		PartitionReplicas Related  `json:"partition_replicas"`
	}
	// BrokerList lists brokers.
	BrokerList struct {
		Kind     string       `json:"kind"`
		Metadata ListMetadata `json:"metadata"`
		Data     []Broker     `json:"data"`
	}
)

// inCluster is a request to v3 with its cluster found.
type inCluster struct {
	*http.Request
	client *kgo.Client
	id     string
	at     place
}

// v3 makes a handler of one for requests within the cluster.
func (s *Server) v3(handle func(http.ResponseWriter, inCluster) error) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		in, err := s.enter(r)
		if err != nil {
			return err
		}
		return handle(w, in)
	}
}

// enter checks the id of the cluster in the path, if there is one.
func (s *Server) enter(r *http.Request) (inCluster, error) {
	cl, err := s.client(r)
	if err != nil {
		return inCluster{}, err
	}
	known := s.clusterID.Load()
	if known == nil {
		res, err := metadata(r.Context(), cl, []string{}, false)
		if err != nil {
			return inCluster{}, err
		}
		id := ""
		if res.ClusterID != nil {
			id = *res.ClusterID
		}
		known = &id
		s.clusterID.Store(known)
	}
	if asked := r.PathValue("cluster_id"); asked != "" && asked != *known {
		return inCluster{}, notFound("Cluster %s cannot be found.", asked)
	}
	return inCluster{Request: r, client: cl, id: *known, at: placeOf(baseOf(r), *known)}, nil
}

func clusterOf(r inCluster, res *kmsg.MetadataResponse) Cluster {
	c := Cluster{
		Kind: "KafkaCluster", Metadata: r.at.metadata(), ClusterID: r.id, ACLs: r.at.related("acls"), Brokers: r.at.related("brokers"),
		BrokerConfigs: r.at.related("broker-configs"), ConsumerGroups: r.at.related("consumer-groups"), Topics: r.at.related("topics"),
		PartitionReassignments: r.at.related("topics", "-", "partitions", "-", "reassignment"),
	}
	if res.ControllerID >= 0 {
		c.Controller = &Related{r.at.broker(res.ControllerID).url}
	}
	return c
}

func (s *Server) v3ListClusters(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, []string{}, false)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, ClusterList{"KafkaClusterList", ListMetadata{Self: baseOf(r.Request) + "/v3/clusters"}, []Cluster{clusterOf(r, res)}})
}

func (s *Server) v3GetCluster(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, []string{}, false)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, clusterOf(r, res))
}

func brokerOf(r inCluster, b *kmsg.MetadataResponseBroker) Broker {
	at := r.at.broker(b.NodeID)
	return Broker{
		Kind: "KafkaBroker", Metadata: at.metadata(), ClusterID: r.id, BrokerID: b.NodeID, Host: b.Host, Port: b.Port, Rack: b.Rack,
		Configs: at.related("configs"), PartitionReplicas: at.related("partition-replicas"),
	}
}

func (s *Server) v3ListBrokers(w http.ResponseWriter, r inCluster) error {
	res, err := metadata(r.Context(), r.client, []string{}, false)
	if err != nil {
		return err
	}
	out := BrokerList{"KafkaBrokerList", r.at.at("", "brokers").list(), []Broker{}}
	slices.SortFunc(res.Brokers, func(a, b kmsg.MetadataResponseBroker) int { return int(a.NodeID - b.NodeID) })
	for i := range res.Brokers {
		out.Data = append(out.Data, brokerOf(r, &res.Brokers[i]))
	}
	return answer(w, r.Request, http.StatusOK, out)
}

// findBroker returns the broker that the path names.
func findBroker(r inCluster) (*kmsg.MetadataResponseBroker, error) {
	id, err := numberIn(r.Request, "broker_id")
	if err != nil {
		return nil, err
	}
	res, err := metadata(r.Context(), r.client, []string{}, false)
	if err != nil {
		return nil, err
	}
	for i := range res.Brokers {
		if res.Brokers[i].NodeID == id {
			return &res.Brokers[i], nil
		}
	}
	return nil, notFound("Broker %d cannot be found.", id)
}

func (s *Server) v3GetBroker(w http.ResponseWriter, r inCluster) error {
	b, err := findBroker(r)
	if err != nil {
		return err
	}
	return answer(w, r.Request, http.StatusOK, brokerOf(r, b))
}

func (s *Server) v3BrokerReplicas(w http.ResponseWriter, r inCluster) error {
	b, err := findBroker(r)
	if err != nil {
		return err
	}
	res, err := metadata(r.Context(), r.client, nil, false)
	if err != nil {
		return err
	}
	out := ReplicaList{"KafkaReplicaList", r.at.broker(b.NodeID).at("", "partition-replicas").list(), []Replica{}}
	sortTopics(res.Topics)
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if t.Topic != nil && slices.Contains(p.Replicas, b.NodeID) {
				out.Data = append(out.Data, replicaOf(r, *t.Topic, &p, b.NodeID))
			}
		}
	}
	return answer(w, r.Request, http.StatusOK, out)
}
