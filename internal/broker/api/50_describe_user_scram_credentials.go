package api

// DescribeUserScramCredentials (key 50), version 0.
//
// The mechanisms and iterations of users; nothing that a password could be checked with leaves the broker. No names, null or
// none of them, asks for all users.

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) describeUserScramCredentials(_ context.Context, c *Conn, req *kmsg.DescribeUserSCRAMCredentialsRequest) (*kmsg.DescribeUserSCRAMCredentialsResponse, error) {
	res := kmsg.NewPtrDescribeUserSCRAMCredentialsResponse()
	if !s.allowCluster(c, auth.Describe) {
		res.ErrorCode, res.ErrorMessage = kafka.ClusterAuthorizationFailed.Code(), textOf(kafka.ClusterAuthorizationFailed)
		return res, nil
	}
	res.ErrorMessage = new("") // Kafka's, where there is no error
	times := map[string]int{}
	var names []string
	for _, u := range req.Users {
		if times[u.Name]++; times[u.Name] == 1 {
			names = append(names, u.Name)
		}
	}
	if len(names) == 0 {
		names = s.users.Names()
	}
	for _, name := range names {
		r := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		r.User = name
		credentials := s.users.Credentials(name)
		switch {
		case times[name] > 1:
			r.ErrorCode = kafka.DuplicateResource.Code()
			r.ErrorMessage = new("Cannot describe SCRAM credentials for the same user twice in a single request: " + name)
		case len(credentials) == 0:
			r.ErrorCode = kafka.ResourceNotFound.Code()
			r.ErrorMessage = new("Attempt to describe a user credential that does not exist: " + name)
		default:
			r.ErrorMessage = new("")
			r.CredentialInfos = credentialInfos(credentials)
		}
		res.Results = append(res.Results, r)
	}
	return res, nil
}

func credentialInfos(credentials map[auth.ScramMechanism]auth.Credential) []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo {
	var out []kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo
	for m, c := range credentials {
		i := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
		i.Mechanism, i.Iterations = int8(m), int32(c.Iterations)
		out = append(out, i)
	}
	slices.SortFunc(out, func(a, b kmsg.DescribeUserSCRAMCredentialsResponseResultCredentialInfo) int {
		return int(a.Mechanism) - int(b.Mechanism)
	})
	return out
}
