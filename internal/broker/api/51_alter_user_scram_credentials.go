package api

// AlterUserScramCredentials (key 51), version 0.
//
// Sets and deletes credentials of users. The client salts the password; the broker keeps what proofs of it can be checked
// with. Each user is answered for itself: one who is wrong, or stands in the request twice, does not keep the others from
// being changed.

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterUserScramCredentials(ctx context.Context, c *Conn, req *kmsg.AlterUserSCRAMCredentialsRequest) (*kmsg.AlterUserSCRAMCredentialsResponse, error) {
	var changes []auth.CredentialChange
	for _, d := range req.Deletions {
		changes = append(changes, auth.CredentialChange{User: d.Name, Mechanism: auth.ScramMechanism(d.Mechanism), Delete: true})
	}
	for _, u := range req.Upsertions {
		changes = append(changes, auth.CredentialChange{
			User: u.Name, Mechanism: auth.ScramMechanism(u.Mechanism), Iterations: int(u.Iterations), Salt: u.Salt, SaltedPassword: u.SaltedPassword,
		})
	}
	allowed := s.allowCluster(c, auth.Alter)
	times := map[string]int{}
	for _, ch := range changes {
		times[ch.User]++
	}
	res := kmsg.NewPtrAlterUserSCRAMCredentialsResponse()
	answered := map[string]bool{}
	for _, ch := range changes {
		if answered[ch.User] {
			continue
		}
		answered[ch.User] = true
		var err error
		switch {
		case !allowed:
			err = kafka.ClusterAuthorizationFailed
		case times[ch.User] > 1:
			err = kafka.Errorf(kafka.DuplicateResource, "A user credential cannot be altered twice in the same request")
		default:
			err = s.users.ChangeCredential(ctx, ch)
		}
		r := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		r.User, r.ErrorCode, r.ErrorMessage = ch.User, codeOf(err).Code(), textOf(err)
		res.Results = append(res.Results, r)
	}
	return res, nil
}
