package api

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ApiVersions, key 18, versions 0 to 5. Kafka: KafkaApis.handleApiVersionsRequest, DefaultApiVersionManager.
//
// The gate of compatibility, with its traps: the header of the answer is always version 0; a version that is not known is
// answered with the body of version 0, UNSUPPORTED_VERSION and the versions of this one API (KIP-511); Produce shows
// versions that it refuses (KAFKA-18659); features whose lowest level is 0 are hidden below version 4 (KAFKA-17492); a
// client of version 5 that believes to talk to another cluster or node is told to bootstrap again (KIP-1242).
//
// Deviation: only APIs of the table that the caller's listener speaks are shown, so what is not built is not advertised. The answer to a version that is
// not known is unsupportedApiVersions; the session gives it, for such a request cannot be decoded.
func apiVersions(s *Services, c *Call, r *kmsg.ApiVersionsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ApiVersionsResponse)
	if fault := apiVersionsFault(s, r); fault != nil {
		answer.ErrorCode = fault.Code
		return answer
	}
	if r.Version >= 3 {
		c.Software, c.SoftwareVersion = r.ClientSoftwareName, r.ClientSoftwareVersion
	}
	for _, row := range s.rows {
		if !row.Internal || s.isInternal(c.Peer) {
			answer.ApiKeys = append(answer.ApiKeys, shown(row))
		}
	}
	image := s.Metadata.Image()
	answer.SupportedFeatures = supportedFeatures(r.Version)
	answer.FinalizedFeatures = finalizedFeatures(image.Features())
	answer.FinalizedFeaturesEpoch = int64(image.Index())
	return answer
}

// apiVersionsMax is the highest version of this API itself.
const apiVersionsMax = 5

func apiVersionsFault(s *Services, r *kmsg.ApiVersionsRequest) *kerr.Error {
	if r.Version >= 3 && (!softwareName(r.ClientSoftwareName) || !softwareName(r.ClientSoftwareVersion)) {
		return kerr.InvalidRequest
	}
	if r.Version < 5 || r.ClusterID == nil && r.NodeID == -1 {
		return nil
	}
	if r.ClusterID == nil || r.NodeID == -1 {
		return kerr.InvalidRequest // both are named or neither is
	}
	if *r.ClusterID != s.Metadata.Image().ClusterID() || r.NodeID != s.NodeID {
		return kerr.RebootstrapRequired
	}
	return nil
}

// unsupportedApiVersions answers a version of ApiVersions that is not known. It must be written as version 0, with a
// header of version 0.
func unsupportedApiVersions() *kmsg.ApiVersionsResponse {
	answer := kmsg.NewPtrApiVersionsResponse()
	answer.ErrorCode = kerr.UnsupportedVersion.Code
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MaxVersion = int16(kmsg.ApiVersions), apiVersionsMax
	answer.ApiKeys = append(answer.ApiKeys, key)
	return answer
}

func shown(row Row) kmsg.ApiVersionsResponseApiKey {
	key := kmsg.NewApiVersionsResponseApiKey()
	key.ApiKey, key.MinVersion, key.MaxVersion = row.Key, row.AdvertisedMin, row.MaxVersion
	return key
}

// softwareName holds Kafka's pattern for the names and versions of client software: letters, digits, '-' and '.', with a
// letter or digit at both ends.
func softwareName(s string) bool {
	alphanumeric := func(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9' }
	if s == "" || !alphanumeric(s[0]) || !alphanumeric(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if s[i] != '-' && s[i] != '.' && !alphanumeric(s[i]) {
			return false
		}
	}
	return true
}

// feature is one that this version can finalize, with its lowest and highest level.
type feature struct {
	name     string
	min, max int16
}

// features, by name, are the levels of Kafka's features that this version has the behaviour of.
func features() []feature {
	return []feature{
		{"eligible.leader.replicas.version", 0, 1},
		{"group.version", 0, 1},
		{"metadata.version", 7, 30},
		{shareFeature, 0, 1},
		{streamsFeature, 0, 1},
		{"transaction.version", 0, 2},
	}
}

func supportedFeatures(version int16) []kmsg.ApiVersionsResponseSupportedFeature {
	var shown []kmsg.ApiVersionsResponseSupportedFeature
	for _, f := range features() {
		if f.min == 0 && version < 4 {
			continue // clients of old fail to read a lowest level of 0
		}
		supported := kmsg.NewApiVersionsResponseSupportedFeature()
		supported.Name, supported.MinVersion, supported.MaxVersion = f.name, f.min, f.max
		shown = append(shown, supported)
	}
	return shown
}

// finalizedFeatures shows the levels of what is supported: clients take a level for the behaviour that goes with it.
func finalizedFeatures(levels map[string]int16) []kmsg.ApiVersionsResponseFinalizedFeature {
	var shown []kmsg.ApiVersionsResponseFinalizedFeature
	for _, f := range features() {
		if level := levels[f.name]; level != 0 {
			finalized := kmsg.NewApiVersionsResponseFinalizedFeature()
			finalized.Name, finalized.MinVersionLevel, finalized.MaxVersionLevel = f.name, level, level
			shown = append(shown, finalized)
		}
	}
	return shown
}
