// RemoveRaftVoter, key 81, version 0.
//
// There is no quorum that could be left: see AddRaftVoter (80).
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *Server) removeRaftVoter(_ context.Context, c *Conn, req *kmsg.RemoveRaftVoterRequest) (*kmsg.RemoveRaftVoterResponse, error) {
	res := kmsg.NewPtrRemoveRaftVoterResponse()
	err := s.fixedVoters(c, req.ClusterID, "removing")
	res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
	return res, nil
}
