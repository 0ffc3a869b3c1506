package api

// ApiVersions (key 18), versions 0-4.
//
// The answer lists the table. A version that is not served is answered in the form of version 0 with
// UNSUPPORTED_VERSION and the one entry for this key, from which the client learns what to ask; the response header is
// always version 0, since the client cannot know yet what the broker speaks (KIP-511).
//
// 1: throttle time. 3: flexible, client software names, features. 4: features with a lowest version of 0.

import (
	"context"
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/wire"
)

var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

func (s *Server) apiVersions(_ context.Context, c *Conn, req *kmsg.ApiVersionsRequest) (*kmsg.ApiVersionsResponse, error) {
	res := kmsg.NewPtrApiVersionsResponse()
	if req.Version >= 3 {
		if !softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion) {
			res.ErrorCode = kafka.InvalidRequest.Code()
			return res, nil
		}
		c.SoftwareName, c.SoftwareVersion = req.ClientSoftwareName, req.ClientSoftwareVersion
	}
	for _, e := range s.table {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = int16(e.key), e.advertised, e.max
		res.ApiKeys = append(res.ApiKeys, k)
	}
	return res, nil
}

func (s *Server) apiVersionsFallback(h wire.RequestHeader) Reply {
	res := kmsg.NewPtrApiVersionsResponse()
	res.ErrorCode = kafka.UnsupportedVersion.Code()
	e := s.handlers[int16(kmsg.ApiVersions)]
	k := kmsg.NewApiVersionsResponseApiKey()
	k.ApiKey, k.MinVersion, k.MaxVersion = int16(e.key), e.min, e.max
	res.ApiKeys = append(res.ApiKeys, k)
	h.Version = 0
	return func(context.Context) (wire.Response, bool, error) { return wire.EncodeResponse(h, res), false, nil }
}
