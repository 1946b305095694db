//go:build e2e

package clients

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/millrace-io/millrace/e2e/harness"
)

// TestApacheOperatorTools runs a cluster with Apache's own tools for operators, while records flow: three brokers that are the
// quorum, and a fourth that follows it and holds what may be lost. What topics, configurations, reassignments and elections print was compared
// with Apache Kafka 4.3.1 on three nodes.
func TestApacheOperatorTools(t *testing.T) {
	cluster := harness.StartCluster(t, harness.ClusterConfig{Nodes: 4, Voters: 3, Settings: map[string]string{"min.insync.replicas": "2"}})
	o := startOperator(t, strings.Join(cluster.Addresses()[:3], ","))
	o.does("topics --create --topic work --replica-assignment 1:2:3,2:3:1,3:1:2", "Created topic work")
	flow := startLoad(o.bootstrap, "work", 3)
	for _, part := range []struct {
		name string
		run  func(*operator, *harness.Cluster)
	}{
		{"topics", operatorTopics}, {"configs", operatorConfigs}, {"features", operatorFeatures}, {"quorum", operatorQuorum},
		{"reassignment", operatorReassigns}, {"records", operatorRecords}, {"unclean election", operatorElectsUnclean}, {"a broker is away", operatorMissesBroker},
	} {
		t.Run(part.name, func(t *testing.T) {
			of := *o
			of.t = t
			part.run(&of, cluster)
		})
	}
	wrote, err := flow.end()
	if err != nil {
		t.Fatal(err)
	}
	expectOnce(t, o.bootstrap, "work", wrote)
}

// expectOnce expects each of the values once in a topic, and nothing else.
func expectOnce(t *testing.T, address, topic string, values []string) {
	t.Helper()
	missing := map[string]bool{}
	for _, value := range values {
		missing[value] = true
	}
	read := 0
	err := withClient(&cell{address: address}, func(ctx context.Context, k *kgo.Client) error {
		for len(missing) > 0 {
			fetches := k.PollFetches(ctx)
			if err := fetches.Err(); err != nil && !passing(err) {
				return fmt.Errorf("%d of %d are missing: %w", len(missing), len(values), err)
			}
			fetches.EachRecord(func(r *kgo.Record) { read++; delete(missing, string(r.Value)) })
		}
		return nil
	}, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil || read != len(values) {
		t.Errorf("%s: %d records read, %d written: %v", topic, read, len(values), err)
	}
}

func operatorTopics(o *operator, _ *harness.Cluster) {
	o.does("topics --describe --topic work", `PartitionCount: 3\s+ReplicationFactor: 3`, `Partition: 1\s+Leader: 2\s+Replicas: 2,3,1\s+Isr: 2,3,1\s+Elr:`)
	o.refuses("topics --create --topic work --partitions 1", `Topic 'work' already exists`)
	o.refuses("topics --create --topic bad --replica-assignment 1:2:9", `The manual partition assignment includes broker 9, but no such broker is registered`)
	o.refuses("topics --create --topic bad --partitions 1 --replication-factor 9", `The target replication factor of 9 cannot be reached because only 4 broker\(s\) are registered`)
	o.does("topics --create --topic orders --replica-assignment 1:2,2:1", "Created topic orders")
	o.does("topics --create --topic single --replica-assignment 3", "Created topic single")
	o.does("topics --create --topic dirty --replica-assignment 4:2 --config min.insync.replicas=1", "Created topic dirty")
	o.refuses("topics --alter --topic single --partitions 1", `Topic already has 1 partition\(s\)`)
	o.does("topics --alter --topic single --partitions 2 --replica-assignment 3,3", `^$`)
	o.does("topics --describe --topic single", `Partition: 1\s+Leader: 3\s+Replicas: 3\s+Isr: 3`)
	o.does("topics --describe --under-replicated-partitions", `^$`, `!Topic`)
	o.does("topics --describe --unavailable-partitions", `!Topic`)
	o.does("topics --describe --at-min-isr-partitions", `Topic: orders\s+Partition: 0`, `!Topic: work`)
	o.does("cluster cluster-id", `^Cluster ID: \S{22}$`)
	o.does("cluster list-endpoints", `^1\s+127.0.0.1\s+\d+\s+null\s+unfenced\s+broker`, `^4\s+127.0.0.1`)
	o.refuses("cluster unregister --id 99", `BrokerIdNotRegisteredException`)
	o.does("logdirs --describe --topic-list orders --broker-list 1", `from brokers 1$`, `"partition":"orders-0","size":0,"offsetLag":0,"isFuture":false`, `!"broker":2`)
	o.refuses("logdirs --describe --broker-list 9", `The given brokers do not exist from --broker-list: 9`)
}

func operatorConfigs(o *operator, _ *harness.Cluster) {
	const broker, everyone, topic = " --entity-type brokers --entity-name 1", " --entity-type brokers --entity-default", " --entity-type topics --entity-name orders"
	o.does("configs --alter --add-config log.cleaner.threads=2"+broker, `Completed updating config for broker 1`)
	o.does("configs --describe"+broker, `log.cleaner.threads=2 sensitive=false synonyms=\{DYNAMIC_BROKER_CONFIG:log.cleaner.threads=2, DEFAULT_CONFIG:log.cleaner.threads=1\}`)
	o.does("configs --alter --delete-config log.cleaner.threads"+broker, `Completed`)
	o.does("configs --alter --add-config message.max.bytes=2000000"+everyone, `Completed updating default config for brokers`)
	o.does("configs --describe"+everyone, `message.max.bytes=2000000 sensitive=false synonyms=\{DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=2000000`)
	o.does("configs --describe --all"+topic, `max.message.bytes=2000000 .*DYNAMIC_DEFAULT_BROKER_CONFIG:message.max.bytes=2000000`)
	o.does("configs --alter --delete-config message.max.bytes"+everyone, `Completed`)
	o.refuses("configs --alter --add-config log.cleaner.threads=much"+broker, `Invalid value much for configuration log.cleaner.threads`)
	o.refuses("configs --alter --add-config node.id=2"+broker, `Cannot update these configs dynamically: \[node.id\]`)
	o.refuses("configs --alter --add-config retention.ms=soon"+topic, `Invalid value soon for configuration retention.ms`)
	o.refuses("configs --alter --add-config retention.ms=1 --entity-type topics --entity-name nope", `UnknownTopicOrPartitionException`)
	o.does("configs --alter --add-config retention.ms=7200000"+topic, `Completed updating config for topic orders`)
	o.does("configs --describe"+topic, `retention.ms=7200000 sensitive=false synonyms=\{DYNAMIC_TOPIC_CONFIG:retention.ms=7200000`)
	o.does("configs --alter --delete-config retention.ms"+topic, `Completed`)
}

func operatorFeatures(o *operator, _ *harness.Cluster) {
	o.does("features describe", `metadata.version\s.*FinalizedVersionLevel: 4.3-IV0`, `transaction.version\s.*FinalizedVersionLevel: 2`)
	o.refuses("features upgrade --feature group.version=99", `Could not upgrade group.version to 99`)
	o.refuses("features upgrade --feature nonsense.version=1", `Could not upgrade nonsense.version to 1`)
	o.refuses("features downgrade --feature metadata.version=1", `Could not downgrade metadata.version to 1`)
	o.does("features downgrade --feature share.version=0 --dry-run", `share.version can be downgraded to 0`)
	o.does("features describe", `share.version\s.*FinalizedVersionLevel: 1`)
	o.does("features downgrade --feature share.version=0", `share.version was downgraded to 0`)
	o.does("features describe", `share.version\s.*FinalizedVersionLevel: 0`)
	o.does("features upgrade --feature share.version=1", `share.version was upgraded to 1`)
}

// operatorQuorum gives the fourth node a vote and takes it back.
func operatorQuorum(o *operator, _ *harness.Cluster) {
	status, _ := o.call("quorum describe --status")
	if fault := lacking(status, []string{`^LeaderId:\s+[123]$`, `^CurrentVoters:.*"id": 1,.*"id": 2,.*"id": 3,`, `^CurrentObservers:\s+\[\{"id": 4, `}); fault != "" {
		o.t.Fatalf("%s in %q", fault, status)
	}
	o.does("quorum describe --replication", `^[123]\s+\S{22}\s+\d+\s+0\s+\d+\s+\d+\s+Leader`, `Follower`, `^4\s+\S{22}\s+.*Observer`)
	const nobody = "kkkkkkkkkkkkkkkkkkkkkg"
	o.refuses("quorum remove-controller --controller-id 9 --controller-directory-id "+nobody, `VoterNotFoundException`)
	directory := regexp.MustCompile(`"id": 4, "directoryId": "([^"]+)"`).FindStringSubmatch(status)[1]
	o.refuses("quorum remove-controller --controller-id 4 --controller-directory-id "+directory, `VoterNotFoundException`)
	o.file("meta.properties", "version=1\ncluster.id=any\nnode.id=4\ndirectory.id="+directory+"\n")
	properties := o.file("controller.properties", "process.roles=controller\nnode.id=4\nlog.dirs="+o.dir+"\ncontroller.listener.names=CONTROLLER\n"+
		"listeners=CONTROLLER://127.0.0.1:9\ncontroller.quorum.bootstrap.servers=127.0.0.1:9\n")
	o.does("quorum --command-config "+properties+" add-controller", `Added controller 4 with directory id `+regexp.QuoteMeta(directory))
	o.comes("quorum describe --status", `^CurrentVoters:.*"id": 4`, `^CurrentObservers:\s+\[\]`)
	o.refuses("quorum --command-config "+properties+" add-controller", `DuplicateVoterException`)
	o.does("quorum remove-controller --controller-id 4 --controller-directory-id "+directory, `Removed\s+KRaft controller 4 with directory id `+regexp.QuoteMeta(directory))
	o.comes("quorum describe --status", `^CurrentObservers:.*"id": 4`)
}

// operatorReassigns moves two partitions: throttled, so that it is seen, and taken back; then for good.
func operatorReassigns(o *operator, _ *harness.Cluster) {
	fillOrders(o)
	of := o.file("topics.json", `{"version":1,"topics":[{"topic":"orders"}]}`)
	o.does("reassign --generate --broker-list 2,3 --topics-to-move-json-file "+of, `^Current partition replica assignment$`, `^Proposed partition reassignment configuration$`,
		`"topic":"orders","partition":0,"replicas":\[1,2\]`, `"topic":"orders","partition":0,"replicas":\[[23],[23]\]`)
	plan := " --reassignment-json-file " + o.file("plan.json",
		`{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[3,2]},{"topic":"orders","partition":1,"replicas":[2,3]}]}`)
	o.does("reassign --execute --throttle 1000"+plan, `The inter-broker throttle limit was set to 1000 B/s`, `Successfully started partition reassignments for orders-0,orders-1`)
	o.does("reassign --list", `orders-0: replicas: 3,2,1. adding: 3. removing: 1.`)
	o.does("reassign --verify"+plan, `Reassignment of partition orders-0 is still in progress`)
	o.does("configs --describe --entity-type brokers --entity-name 3", `follower.replication.throttled.rate=1000 `)
	o.does("configs --describe --entity-type topics --entity-name orders", `follower.replication.throttled.replicas=0:3,1:3 `, `leader.replication.throttled.replicas=0:1,0:2,1:1,1:2 `)
	o.does("topics --describe --topic orders", `Adding Replicas: 3\s+Removing Replicas: 1`)
	o.refuses("reassign --execute"+plan, `Cannot execute because there is an existing partition assignment`)
	o.does("reassign --cancel"+plan, `Successfully cancelled partition reassignments for: orders-0,orders-1`, `Clearing broker-level throttles`)
	o.does("topics --describe --topic orders", `Partition: 0\s+Leader: 1\s+Replicas: 2,1\s+Isr: 1,2`, `!Adding`) // in the order of the plan
	o.does("configs --describe --entity-type brokers --entity-name 3", `!throttled.rate`)
	o.does("reassign --execute"+plan, `Successfully started partition reassignments for orders-0,orders-1`)
	o.comes("reassign --verify"+plan, `Reassignment of partition orders-0 is completed`, `Reassignment of partition orders-1 is completed`)
	o.does("topics --describe --topic orders", `Partition: 0\s+Leader: [23]\s+Replicas: 3,2\s`, `Partition: 1\s+Leader: 2\s+Replicas: 2,3\s`)
	o.does("configs --describe --entity-type topics --entity-name orders", `!throttled.replicas`)
	bad := o.file("bad.json", `{"version":1,"partitions":[{"topic":"orders","partition":0,"replicas":[9,2]}]}`)
	o.refuses("reassign --execute --reassignment-json-file "+bad, `Unknown broker id 9`)
	prefer := o.file("prefer.json", `{"version":1,"partitions":[{"topic":"orders","partition":1,"replicas":[3,2]}]}`)
	o.does("reassign --execute --reassignment-json-file "+prefer, `Successfully started partition reassignment for orders-1`)
	o.does("elect --election-type preferred --topic orders --partition 1", `Successfully completed leader election \(PREFERRED\) for partitions orders-1`)
	o.does("elect --election-type preferred --topic orders --partition 1", `Valid replica already elected for partitions orders-1`)
	o.refuses("elect --election-type preferred --topic nope --partition 0", `UnknownTopicOrPartitionException`)
	o.does("topics --describe --topic orders", `Partition: 1\s+Leader: 3\s+Replicas: 3,2\s`)
}

// fillOrders writes more than a throttled copy gets at once.
func fillOrders(o *operator) {
	err := withClient(&cell{address: o.bootstrap}, func(ctx context.Context, k *kgo.Client) error {
		var records []*kgo.Record
		for i := range 8 {
			records = append(records, &kgo.Record{Topic: "orders", Partition: int32(i % 2), Value: make([]byte, 900_000)})
		}
		return k.ProduceSync(ctx, records...).FirstErr()
	}, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		o.t.Fatal(err)
	}
}

func operatorRecords(o *operator, _ *harness.Cluster) {
	o.does("offsets --topic orders", `^orders:0:4\norders:1:4\n$`)
	o.does("offsets --topic-partitions orders:1 --time earliest", `^orders:1:0\n$`)
	o.does("offsets --topic orders --time max-timestamp", `^orders:0:[0-3]$`)
	o.does("offsets --topic orders --time latest-tiered", `!orders`)
	o.refuses("offsets --topic nope", `Could not match any topic-partitions`)
	cut := o.file("cut.json", `{"version":1,"partitions":[{"topic":"orders","partition":0,"offset":3},{"topic":"orders","partition":1,"offset":-1}]}`)
	o.does("delete --offset-json-file "+cut, `partition: orders-0\s+low_watermark: 3`, `partition: orders-1\s+low_watermark: 4`)
	o.does("offsets --topic orders --time earliest", `^orders:0:3\norders:1:4\n$`)
	beyond := o.file("beyond.json", `{"version":1,"partitions":[{"topic":"orders","partition":0,"offset":99}]}`)
	o.does("delete --offset-json-file "+beyond, `partition: orders-0\s+error: .*OffsetOutOfRangeException`)
}

// operatorMissesBroker looks at what lacks while broker 3 is stopped, takes it out of the cluster and lets it come back; what
// it had alone is then its again by hand.
func operatorMissesBroker(o *operator, cluster *harness.Cluster) {
	cluster.Node(3).Stop()
	o.does("cluster list-endpoints", `!^3`)
	o.does("cluster list-endpoints --include-fenced-brokers", `^3\s.*\sfenced`)
	o.does("topics --describe --unavailable-partitions", `Topic: single\s+Partition: 0\s+Leader: none`, `!Topic: work`)
	o.does("topics --describe --under-replicated-partitions", `Topic: work\s+Partition: 0\s+Leader: 1\s+Replicas: 1,2,3\s+Isr: 1,2\s`)
	o.does("topics --describe --at-min-isr-partitions", `Topic: work\s+Partition: 2`, `!Topic: orders`)
	o.does("topics --describe --under-min-isr-partitions", `Topic: orders\s+Partition: 0\s+Leader: 2\s+Replicas: 3,2\s+Isr: 2\s+Elr: 3\s`, `!Topic: work`)
	o.refuses("elect --election-type unclean --topic single --partition 0", `EligibleLeadersNotAvailableException`)
	o.does("cluster unregister --id 3", `Broker 3 is no longer registered`)
	o.does("cluster list-endpoints --include-fenced-brokers", `!^3`)
	cluster.Node(3).Restart()
	// Ours: nothing tells that the logs of a broker that was taken out are the ones it had, so it leads only by hand.
	o.does("elect --election-type unclean --topic single --partition 0", `Successfully completed leader election \(UNCLEAN\) for partitions single-0`)
	o.does("elect --election-type unclean --topic single --partition 1", `Successfully completed leader election \(UNCLEAN\) for partitions single-1`)
	o.comes("topics --describe --under-replicated-partitions", `!Topic`)
}

// operatorElectsUnclean has broker 4 alone know the last records of a topic, and elects the other without it.
func operatorElectsUnclean(o *operator, cluster *harness.Cluster) {
	cluster.Node(2).Stop()
	if err := send(&cell{address: cluster.Node(1).Address()}, "dirty", 1, "lost"); err != nil {
		o.t.Fatal(err)
	}
	cluster.Node(4).Kill()
	cluster.Node(2).Restart()
	o.comes("topics --describe --topic dirty", `Leader: none\s+Replicas: 4,2\s`)
	o.refuses("elect --election-type preferred --topic dirty --partition 0", `PreferredLeaderNotAvailableException`)
	o.does("elect --election-type unclean --topic dirty --partition 0", `Successfully completed leader election \(UNCLEAN\) for partitions dirty-0`)
	o.does("topics --describe --topic dirty", `Leader: 2\s+Replicas: 4,2\s+Isr: 2\s`)
	o.does("offsets --topic dirty", `^dirty:0:0$`)
	cluster.Node(4).Restart()
	o.comes("topics --describe --under-replicated-partitions", `!Topic`)
}
