package image

import "github.com/millrace-io/millrace/metadata/config"

// Delta is what changed between two images, each thing named once.
type Delta struct {
	From, To *Image
	Topics   []TopicChange     // by tenant and name
	Configs  []config.Resource // topics, brokers and groups whose overrides changed; a new topic with overrides is named too
	Brokers  []int32           // registered, changed or removed
	Features bool
}

// TopicChange is one topic that was created, deleted or changed.
type TopicChange struct {
	Before     *Topic  // nil: created
	After      *Topic  // nil: deleted
	Partitions []int32 // that are new, changed or gone, in order
}
