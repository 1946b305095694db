package config

type validator func(value string) string

// Topic returns the settings of topics.
func Topic() *Catalogue { return newCatalogue(nil) }

// Broker returns the settings of brokers.
func Broker() *Catalogue { return newCatalogue(nil) }

// Group returns the settings of groups.
func Group() *Catalogue { return newCatalogue(nil) }

// CheckStatic reports every fault of a node's static broker settings: unknown names and bad values.
func CheckStatic(static map[string]string) error { return nil }

// TopicSettings are a topic's effective settings as plain values, resolved once for each change.
type TopicSettings struct {
	CleanupDelete, CleanupCompact                     bool
	CompressionType                                   string // producer, or a codec's name
	CompressionGzipLevel, CompressionLz4Level         int
	CompressionZstdLevel                              int
	DeleteRetentionMillis, FileDeleteDelayMillis      int64
	FlushMessages, FlushMillis                        int64
	IndexIntervalBytes                                int32
	MaxCompactionLagMillis, MinCompactionLagMillis    int64
	MaxMessageBytes                                   int32
	LogAppendTime                                     bool
	TimestampBeforeMaxMillis, TimestampAfterMaxMillis int64
	MinCleanableDirtyRatio                            float64
	MinInSyncReplicas                                 int32
	Preallocate                                       bool
	RetentionBytes, RetentionMillis                   int64 // -1: no limit
	SegmentBytes, SegmentIndexBytes                   int32
	SegmentMillis, SegmentJitterMillis                int64
	UncleanLeaderElection                             bool
	RemoteStorage                                     bool
	LocalRetentionBytes, LocalRetentionMillis         int64
	WriteCaching                                      bool
}

// TopicSettings resolves a topic's settings into plain values.
func (r *Resolver) TopicSettings(overrides Overrides, topic map[string]string) *TopicSettings {
	return &TopicSettings{}
}

func newResolver(nodeID int32, static map[string]string) *Resolver            { return &Resolver{static: static} }
func (r *Resolver) topicWith(o Overrides, m map[string]string) Effective      { return Effective{} }
func (r *Resolver) effectiveBroker(o Overrides) Effective                     { return Effective{} }
func (r *Resolver) effectiveGroup(o Overrides, m map[string]string) Effective { return Effective{} }
func (e Effective) value(name string) (string, bool)                          { return "", false }
func (e Effective) int64(name string) int64                                   { return 0 }
func (e Effective) float64(name string) float64                               { return 0 }
func (e Effective) source(name string) Source                                 { return 0 }
func (e Effective) synonyms(name string) []Synonym                            { return nil }
func (e Effective) entry(name string) (Entry, bool)                           { return Entry{}, false }
func (e Effective) entries() []Entry                                          { return nil }
func parseBool(s string) bool                                                 { return s == "true" }
func splitList(s string) []string                                             { return nil }
