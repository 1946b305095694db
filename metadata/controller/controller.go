package controller

import (
	"crypto/rand"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// producerIDBlock is how many producer ids a broker is given at once (Kafka's ProducerIdsBlock).
const producerIDBlock = 1000

// maxRecordsPerRequest is Kafka's bound on the records that one request may turn into: one for each topic, setting and
// partition.
const maxRecordsPerRequest = 10_000

// Controller plans changes of the metadata. It holds nothing that changes.
type Controller struct {
	settings   *config.Resolver
	newTopicID func() image.TopicID
}

// New makes a controller whose defaults come from the settings of its node.
func New(settings *config.Resolver) *Controller {
	return &Controller{settings: settings, newTopicID: randomTopicID}
}

// randomTopicID returns a random UUID of version 4. Kafka leaves out ids that begin with a dash, which a command line
// would take for a flag.
func randomTopicID() image.TopicID {
	for {
		var id image.TopicID
		_, _ = rand.Read(id[:]) // never fails
		id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
		if id.String()[0] != '-' {
			return id
		}
	}
}

// Bootstrap returns what the log of a new cluster begins with. Features whose protocols are not built are not finalized.
// min.insync.replicas of the first node becomes everybody's (see checkMinISR).
func Bootstrap(clusterID, minISR string) command.Group {
	if minISR == "" {
		minISR = config.Broker().Get(minISRKey).Default
	}
	return command.Group{
		command.NameCluster{ClusterID: clusterID},
		command.SetFeature{Name: "metadata.version", Level: metadataVersion},
		command.SetFeature{Name: "eligible.leader.replicas.version", Level: 1},
		command.SetFeature{Name: "group.version", Level: 1},
		command.SetFeature{Name: "share.version", Level: 1},
		command.SetFeature{Name: "streams.version", Level: 1},
		command.SetFeature{Name: "transaction.version", Level: transactionVersion},
		command.SetConfig{Resource: config.Resource{Type: config.BrokerResource}, Values: map[string]*string{minISRKey: &minISR}},
	}
}

// metadataVersion is the level of Kafka 4.3's metadata.version that clients are told.
const metadataVersion = 30

// transactionVersion is the highest version of transactions: KIP-890's, which new clusters have from the start.
const transactionVersion = 2

// AllocateProducerIDs plans the next block of producer ids for a broker.
func (c *Controller) AllocateProducerIDs(img *image.Image, brokerID int32, brokerEpoch int64) (command.TakeProducerIDs, error) {
	if err := CheckBrokerEpoch(img, brokerID, brokerEpoch); err != nil {
		return command.TakeProducerIDs{}, err
	}
	return command.TakeProducerIDs{BrokerID: brokerID, First: img.NextProducerID(), Count: producerIDBlock}, nil
}

func refused(err *kerr.Error, message string) *Refusal { return &Refusal{Err: err, Message: message} }
