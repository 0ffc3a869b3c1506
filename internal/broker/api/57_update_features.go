// UpdateFeatures, key 57, versions 0 to 2.
//
// Raises and lowers the finalized levels of features, all that are asked for or none. What may be changed to what is told
// by package feature; a refusal is INVALID_UPDATE_VERSION for the whole request, and names the feature.
//
//	v0  upgrades only: Kafka does not read its flag for downgrades either
//	v1  says of each whether it is an upgrade, a safe or an unsafe downgrade; a dry run
//	v2  no result for each feature
//
// Differences from Kafka: kraft.version stays 0, since there is no KRaft quorum.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/feature"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) updateFeatures(ctx context.Context, c *Conn, req *kmsg.UpdateFeaturesRequest) (*kmsg.UpdateFeaturesResponse, error) {
	res := kmsg.NewPtrUpdateFeaturesResponse()
	err := error(kafka.ClusterAuthorizationFailed)
	if s.allowCluster(c, auth.Alter) {
		updates := make([]feature.Update, len(req.FeatureUpdates))
		for i := range req.FeatureUpdates {
			u := &req.FeatureUpdates[i]
			updates[i] = feature.Update{Name: u.Feature, Level: u.MaxVersionLevel, Kind: feature.Kind(u.UpgradeType)}
			if req.Version == 0 {
				updates[i].Kind = feature.Upgrade
			}
		}
		err = s.features.Update(ctx, updates, req.ValidateOnly)
	}
	if err != nil {
		res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
		return res, nil
	}
	if req.Version < 2 {
		for i := range req.FeatureUpdates {
			out := kmsg.NewUpdateFeaturesResponseResult()
			out.Feature, out.ErrorMessage = req.FeatureUpdates[i].Feature, new("NONE") // as Kafka has it
			res.Results = append(res.Results, out)
		}
	}
	return res, nil
}
