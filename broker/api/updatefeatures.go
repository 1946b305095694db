package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/security"
)

// UpdateFeatures, key 57, versions 0 to 2 (KIP-584). Kafka: ControllerApis.handleUpdateFeatures, QuorumController.updateFeatures.
//
// All updates are made, or none. Below version 2 the answer to what was made has a line for each feature.
func updateFeatures(s *Services, c *Call, r *kmsg.UpdateFeaturesRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.UpdateFeaturesResponse)
	if !s.allowedOnCluster(c, security.OperationAlter) {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(kerr.ClusterAuthorizationFailed)
		return answer
	}
	updates := make([]controller.FeatureUpdate, len(r.FeatureUpdates))
	for i, u := range r.FeatureUpdates {
		updates[i] = controller.FeatureUpdate{Name: u.Feature, Level: u.MaxVersionLevel, Kind: upgradeKind(r.Version, u)}
	}
	ctx, cancel := requestContext(c, r.TimeoutMillis)
	defer cancel()
	if err := s.Metadata.UpdateFeatures(ctx, updates, r.ValidateOnly); err != nil {
		answer.ErrorCode, answer.ErrorMessage = s.outcome(err)
		if answer.ErrorCode == kerr.InvalidUpdateVersion.Code {
			answer.ErrorMessage = kmsg.StringPtr("The update failed for all features since the following feature had an error: " + *answer.ErrorMessage)
		}
		return answer
	}
	for _, u := range r.FeatureUpdates {
		answer.Results = append(answer.Results, kmsg.UpdateFeaturesResponseResult{Feature: u.Feature, ErrorMessage: kmsg.StringPtr("NONE")})
	}
	return answer
}

// upgradeKind is what version 0 says by a single bit.
func upgradeKind(version int16, u kmsg.UpdateFeaturesRequestFeatureUpdate) controller.UpgradeKind {
	switch {
	case version > 0:
		return controller.UpgradeKind(u.UpgradeType)
	case u.AllowDowngrade:
		return controller.SafeDowngrade
	}
	return controller.Upgrade
}
