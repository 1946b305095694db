package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/security"
)

// Table returns every API that Millrace speaks, by key. A key that is not here is refused.
//
// To add one: write a file named after the API with `func createTopics(s *Services, c *Call, r *kmsg.CreateTopicsRequest)
// kmsg.Response`, and put one line here in the order of keys:
//
//	row(minVersion, maxVersion, access(operation, resource), handler) and, chained to it where needed,
//	.waiting()        the handler waits for what other clients do (JoinGroup): answers before it are sent first,
//	                  and a stop of the broker does not wait for it
//	.advertised(v)    ApiVersions shows this lowest version instead
//	.amplifies(n)     a decoded request takes up to n bytes per byte of its frame; 40 unless said otherwise
//	.internal()       spoken only between brokers: on a listener of clients there is no such API
//	.forwarded()      only the controller can answer: another broker sends the request on (forward.go)
//	.forwardedInPart() the handler answers what is this broker's own and sends the rest on
//	.leaderless()     while there is no controller the handler answers here, after a moment
//	.repeatable()     changes nothing, so it may be asked again when nobody knows what became of it
//
// Versions are those that Apache Kafka 4.4 accepts, up to what kmsg knows. What is decoded is the handler's own: kmsg's
// bytes alias a copy of the frame that nobody reuses.
func Table() []Row {
	return []Row{
		hotRow(kmsg.Produce, 3, 13, access(security.OperationWrite, security.ResourceTopic)).advertised(0),
		hotRow(kmsg.Fetch, 4, 18, access(security.OperationRead, security.ResourceTopic)),
		row(1, 11, access(security.OperationDescribe, security.ResourceTopic), listOffsets),
		row(0, 13, access(security.OperationDescribe, security.ResourceTopic), topicMetadata).amplifies(100),
		row(2, 10, access(security.OperationRead, security.ResourceGroup), offsetCommit),
		row(1, 10, access(security.OperationDescribe, security.ResourceGroup), offsetFetch).amplifies(160),
		row(0, 6, access(security.OperationDescribe, security.ResourceGroup), findCoordinator).amplifies(400),
		row(0, 9, access(security.OperationRead, security.ResourceGroup), joinGroup).amplifies(60).waiting(),
		row(0, 4, access(security.OperationRead, security.ResourceGroup), heartbeat),
		row(0, 5, access(security.OperationRead, security.ResourceGroup), leaveGroup).passedOn(),
		row(0, 5, access(security.OperationRead, security.ResourceGroup), syncGroup).amplifies(60).waiting(),
		row(0, 6, access(security.OperationDescribe, security.ResourceGroup), describeGroups).amplifies(460),
		row(0, 5, access(security.OperationDescribe, security.ResourceGroup), listGroups),
		row(0, 1, access(security.OperationNone, security.ResourceNone), saslHandshake),
		row(0, 5, access(security.OperationNone, security.ResourceNone), apiVersions),
		row(2, 7, access(security.OperationCreate, security.ResourceTopic), createTopics).amplifies(250).forwarded(),
		row(1, 6, access(security.OperationDelete, security.ResourceTopic), deleteTopics).amplifies(100).forwarded(),
		row(0, 2, access(security.OperationDelete, security.ResourceTopic), deleteRecords).waiting(),
		row(0, 5, access(security.OperationIdempotentWrite, security.ResourceCluster), initProducerID),
		row(2, 4, access(security.OperationDescribe, security.ResourceTopic), offsetForLeaderEpoch),
		row(0, 5, access(security.OperationWrite, security.ResourceTransactionalID), addPartitionsToTxn).amplifies(100),
		row(0, 4, access(security.OperationWrite, security.ResourceTransactionalID), addOffsetsToTxn),
		row(0, 5, access(security.OperationWrite, security.ResourceTransactionalID), endTxn),
		row(1, 2, access(security.OperationNone, security.ResourceNone), writeTxnMarkers).amplifies(100).waiting(),
		row(0, 6, access(security.OperationWrite, security.ResourceTransactionalID), txnOffsetCommit),
		row(1, 4, access(security.OperationDescribeConfigs, security.ResourceNone), describeConfigs).amplifies(100),
		row(0, 2, access(security.OperationAlterConfigs, security.ResourceNone), alterConfigs).amplifies(60).forwardedInPart(),
		row(1, 5, access(security.OperationDescribe, security.ResourceCluster), describeLogDirs),
		row(0, 2, access(security.OperationNone, security.ResourceNone), saslAuthenticate),
		row(0, 3, access(security.OperationAlter, security.ResourceTopic), createPartitions).amplifies(60).forwarded(),
		row(0, 3, access(security.OperationDelete, security.ResourceGroup), deleteGroups).amplifies(90),
		row(0, 2, access(security.OperationAlter, security.ResourceCluster), electLeaders).amplifies(60).forwarded(),
		row(0, 1, access(security.OperationAlterConfigs, security.ResourceNone), incrementalAlterConfigs).amplifies(60).forwardedInPart(),
		row(0, 1, access(security.OperationAlter, security.ResourceCluster), alterPartitionReassignments).amplifies(100).forwarded(),
		row(0, 0, access(security.OperationDescribe, security.ResourceCluster), listPartitionReassignments).amplifies(60).forwarded().repeatable(),
		row(0, 0, access(security.OperationDelete, security.ResourceGroup), offsetDelete),
		row(0, 2, access(security.OperationDescribe, security.ResourceCluster), describeQuorum).amplifies(60).forwarded().repeatable().leaderless(),
		row(2, 3, access(security.OperationClusterAction, security.ResourceCluster), alterPartition).amplifies(60).internal(),
		row(0, 2, access(security.OperationAlter, security.ResourceCluster), updateFeatures).amplifies(60).forwarded(),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), envelope).amplifies(250).internal(),
		row(0, 2, access(security.OperationNone, security.ResourceNone), describeCluster),
		row(0, 0, access(security.OperationRead, security.ResourceTopic), describeProducers),
		row(0, 4, access(security.OperationClusterAction, security.ResourceCluster), brokerRegistration).amplifies(60).internal(),
		row(0, 2, access(security.OperationClusterAction, security.ResourceCluster), brokerHeartbeat).internal(),
		row(0, 0, access(security.OperationAlter, security.ResourceCluster), unregisterBroker).forwarded(),
		row(0, 0, access(security.OperationDescribe, security.ResourceTransactionalID), describeTransactions).amplifies(60),
		row(0, 2, access(security.OperationDescribe, security.ResourceTransactionalID), listTransactions),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), allocateProducerIDs).internal(),
		row(0, 1, access(security.OperationRead, security.ResourceGroup), consumerGroupHeartbeat).amplifies(60).passedOn(),
		row(0, 1, access(security.OperationDescribe, security.ResourceGroup), consumerGroupDescribe).amplifies(460),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), assignReplicasToDirs).amplifies(60).internal(),
		row(0, 1, access(security.OperationDescribeConfigs, security.ResourceCluster), listConfigResources),
		row(0, 0, access(security.OperationDescribe, security.ResourceTopic), describeTopicPartitions).amplifies(100),
		row(1, 1, access(security.OperationRead, security.ResourceGroup), shareGroupHeartbeat).amplifies(100),
		row(1, 1, access(security.OperationDescribe, security.ResourceGroup), shareGroupDescribe).amplifies(300),
		row(1, 2, access(security.OperationRead, security.ResourceGroup), shareFetch).amplifies(100).waiting(),
		row(1, 2, access(security.OperationRead, security.ResourceGroup), shareAcknowledge).amplifies(100).waiting(),
		row(0, 1, access(security.OperationAlter, security.ResourceCluster), addRaftVoter).amplifies(60).forwarded(),
		row(0, 0, access(security.OperationAlter, security.ResourceCluster), removeRaftVoter).forwarded(),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), initializeShareGroupState).amplifies(100),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), readShareGroupState).amplifies(100),
		row(0, 1, access(security.OperationClusterAction, security.ResourceCluster), writeShareGroupState).amplifies(100),
		row(0, 0, access(security.OperationClusterAction, security.ResourceCluster), deleteShareGroupState).amplifies(100),
		row(0, 1, access(security.OperationClusterAction, security.ResourceCluster), readShareGroupStateSummary).amplifies(100),
		row(0, 0, access(security.OperationRead, security.ResourceGroup), streamsGroupHeartbeat).amplifies(100),
		row(0, 0, access(security.OperationDescribe, security.ResourceGroup), streamsGroupDescribe).amplifies(300),
		row(0, 1, access(security.OperationDescribe, security.ResourceGroup), describeShareGroupOffsets).amplifies(100),
		row(0, 0, access(security.OperationRead, security.ResourceGroup), alterShareGroupOffsets).amplifies(100),
		row(0, 0, access(security.OperationDelete, security.ResourceGroup), deleteShareGroupOffsets).amplifies(100),
	}
}

// Access is what a row of the table asks of the caller before its handler runs; handlers that name many resources
// (topics, groups) check each of them by the same operation through (*Services).Allowed.
type Access struct {
	Operation security.Operation
	Resource  security.ResourceType
}

func access(operation security.Operation, resource security.ResourceType) Access {
	return Access{Operation: operation, Resource: resource}
}

// Row is one API that Millrace speaks. A key without a row is refused.
type Row struct {
	Key           int16
	MinVersion    int16 // lowest version accepted
	MaxVersion    int16
	AdvertisedMin int16 // lowest version shown by ApiVersions; differs from MinVersion for Produce (KAFKA-18659)
	Access        Access
	BytesPerByte  int  // memory a decoded request may take, as a multiple of its frame: the admission estimate
	Waits         bool // the handler may wait for what other clients do
	Internal      bool // spoken on the listener between brokers only
	Forwarded     forwarding
	Repeatable    bool // changes nothing
	Leaderless    bool // can be answered without the controller, though less well

	newRequest func() kmsg.Request
	guard      *guard                                             // of bodies before they are decoded; set by New
	handle     func(*Services, *Call, kmsg.Request) kmsg.Response // nil answer: the connection is closed
}

// forwarding says how much of a request is the controller's, or another coordinator's, to answer.
type forwarding int8

const (
	notForwarded forwarding = iota
	forwardedWhole
	forwardedInPart
	forwardedToCoordinator // of who leaves, where the coordinator has moved
)

// row makes the table entry of an API whose handler takes and returns kmsg's types. R is the request struct.
func row[R any, P interface {
	*R
	kmsg.Request
}](minVersion, maxVersion int16, access Access, handle func(*Services, *Call, P) kmsg.Response) Row {
	return Row{
		Key: P(new(R)).Key(), MinVersion: minVersion, MaxVersion: maxVersion, AdvertisedMin: minVersion, Access: access,
		BytesPerByte: 40,
		newRequest:   func() kmsg.Request { return P(new(R)) },
		handle:       func(s *Services, c *Call, r kmsg.Request) kmsg.Response { return handle(s, c, r.(P)) },
	}
}

// hotRow is an API that the session handles itself, without decoding its requests.
func hotRow(key kmsg.Key, minVersion, maxVersion int16, access Access) Row {
	return Row{Key: int16(key), MinVersion: minVersion, MaxVersion: maxVersion, AdvertisedMin: minVersion, Access: access}
}

func (r Row) advertised(minVersion int16) Row {
	r.AdvertisedMin = minVersion
	return r
}

func (r Row) waiting() Row {
	r.Waits = true
	return r
}

func (r Row) amplifies(bytesPerByte int) Row {
	r.BytesPerByte = bytesPerByte
	return r
}

func (r Row) internal() Row {
	r.Internal = true
	return r
}

func (r Row) forwarded() Row {
	r.Forwarded = forwardedWhole
	return r
}

func (r Row) forwardedInPart() Row {
	r.Forwarded = forwardedInPart
	return r
}

func (r Row) passedOn() Row {
	r.Forwarded = forwardedToCoordinator
	return r
}

func (r Row) leaderless() Row {
	r.Leaderless = true
	return r
}

func (r Row) repeatable() Row {
	r.Repeatable = true
	return r
}
