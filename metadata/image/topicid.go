package image

import (
	"encoding/base64"
	"fmt"
)

// TopicID names a topic for ever: a topic deleted and created again under its old name has another id. Kafka writes it
// as base64url without padding.
type TopicID [16]byte

// IsZero reports whether the id is Kafka's "no id".
func (id TopicID) IsZero() bool { return id == TopicID{} }

// String returns Kafka's form of the id, 22 characters of base64url.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// ParseTopicID reads Kafka's form of an id.
func ParseTopicID(s string) (TopicID, error) {
	var id TopicID
	p, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(p) != len(id) {
		return TopicID{}, fmt.Errorf("parse topic id %q: want 22 characters of base64url", s)
	}
	copy(id[:], p)
	return id, nil
}
