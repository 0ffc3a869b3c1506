// AddRaftVoter, key 80, versions 0 and 1.
//
// There is no quorum that could be joined: after the checks that Kafka makes, the answer is UNSUPPORTED_VERSION, as from a
// cluster whose voters are fixed (kraft.version 0).
//
//	v1  may be answered before the change is committed
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) addRaftVoter(_ context.Context, c *Conn, req *kmsg.AddRaftVoterRequest) (*kmsg.AddRaftVoterResponse, error) {
	res := kmsg.NewPtrAddRaftVoterResponse()
	err := s.fixedVoters(c, req.ClusterID, "adding")
	if kafka.CodeOf(err) == kafka.UnsupportedVersion && (req.VoterID < 0 || len(req.Listeners) == 0) {
		err = kafka.Errorf(kafka.InvalidRequest, "Add voter request didn't include a valid voter")
	}
	res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
	return res, nil
}

// fixedVoters is why the voters cannot be changed.
func (s *Server) fixedVoters(c *Conn, cluster *string, doing string) error {
	if !s.allowCluster(c, auth.Alter) {
		return kafka.ClusterAuthorizationFailed
	}
	if cluster != nil && *cluster != s.topics.ClusterID() {
		return kafka.Errorf(kafka.InconsistentClusterID, "The given id %q doesn't match the cluster id %q", *cluster, s.topics.ClusterID())
	}
	return kafka.Errorf(kafka.UnsupportedVersion, "Cluster doesn't support %s voter because the kraft.version feature is 0", doing)
}
