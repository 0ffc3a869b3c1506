package api

// ApiVersions (key 18), versions 0-4.
//
// The answer lists the table, and the features (57, UpdateFeatures, changes them). A version that is not served is answered in the form of version 0 with
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
	if req.Version >= 3 {
		s.describeFeatures(res, req.Version)
	}
	return res, nil
}

func (s *Server) describeFeatures(res *kmsg.ApiVersionsResponse, version int16) {
	for _, f := range s.features.Supported() {
		if f.Lowest == 0 && version < 4 {
			continue // such a range is damaged to clients of version 3
		}
		out := kmsg.NewApiVersionsResponseSupportedFeature()
		out.Name, out.MinVersion, out.MaxVersion = f.Name, f.Lowest, f.Highest
		res.SupportedFeatures = append(res.SupportedFeatures, out)
	}
	finalized, epoch := s.features.Finalized()
	res.FinalizedFeaturesEpoch = epoch
	for _, f := range finalized {
		out := kmsg.NewApiVersionsResponseFinalizedFeature()
		out.Name, out.MinVersionLevel, out.MaxVersionLevel = f.Name, f.Level, f.Level
		res.FinalizedFeatures = append(res.FinalizedFeatures, out)
	}
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
