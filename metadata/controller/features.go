package controller

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

// FeatureUpdate asks for another level of a feature.
type FeatureUpdate struct {
	Name  string
	Level int16 // 0: not finalized any more
	Kind  UpgradeKind
}

// UpgradeKind says how far a FeatureUpdate may go, by Kafka's number (FeatureUpdate.UpgradeType).
type UpgradeKind int8

// The kinds of updates.
const (
	Upgrade         UpgradeKind = 1
	SafeDowngrade   UpgradeKind = 2
	UnsafeDowngrade UpgradeKind = 3
)

// featureLevels returns the levels that this release can be set to. Kafka's levels of metadata.version say how its own
// records are written; ours have versions of their own, so only what clients are told moves with it.
func featureLevels(name string) (low, high int16, known bool) {
	switch name {
	case "metadata.version":
		return 7, metadataVersion, true
	case "eligible.leader.replicas.version", "group.version", "share.version", "streams.version":
		return 0, 1, true
	case "transaction.version":
		return 0, transactionVersion, true
	}
	return 0, 0, false
}

// UpdateFeatures plans other levels of features, all of them or none (FeatureControlManager.updateFeatures).
func (c *Controller) UpdateFeatures(img *image.Image, updates []FeatureUpdate) (command.Group, error) {
	levels := img.Features()
	var group command.Group
	for _, u := range updates {
		if reason := featureFault(levels[u.Name], u); reason != "" {
			return nil, refused(kerr.InvalidUpdateVersion, fmt.Sprintf("Invalid update version %d for feature %s. %s", u.Level, u.Name, reason))
		}
		if levels[u.Name] == u.Level {
			continue
		}
		if u.Name == "metadata.version" && u.Level < levels[u.Name] {
			return nil, refused(kerr.InvalidUpdateVersion, fmt.Sprintf("Invalid metadata.version %d. Refusing to perform the requested downgrade because it might delete metadata information.", u.Level))
		}
		levels[u.Name] = u.Level
		group = append(group, command.SetFeature{Name: u.Name, Level: u.Level})
	}
	return group, nil
}

func featureFault(current int16, u FeatureUpdate) string {
	low, high, known := featureLevels(u.Name)
	switch {
	case u.Kind != Upgrade && u.Kind != SafeDowngrade && u.Kind != UnsafeDowngrade:
		return "The controller does not support the given upgrade type."
	case u.Level < 0:
		return "A feature version cannot be less than 0."
	case !known:
		return "Local controller does not support this feature."
	case u.Level < low || u.Level > high:
		return fmt.Sprintf("Local controller only supports versions %d-%d", low, high)
	case u.Level < current && u.Kind == Upgrade:
		return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
	case u.Level > current && u.Kind != Upgrade:
		return "Can't downgrade to a newer version."
	}
	return ""
}
