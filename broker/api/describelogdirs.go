package api

import (
	"cmp"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/replica"
	"github.com/millrace-io/millrace/security"
)

// DescribeLogDirs (key 35), versions 1 to 5.
// Kafka: KafkaApis.handleDescribeLogDirsRequest, ReplicaManager.describeLogDirs.
//
// Deviations: a partition that was never written to has no files; it is shown with size 0 in the first directory. What is
// wrong with single logs is told in a tagged field of our own (logfaults.go). A broker that asks (the controller, for balancing)
// is told of every tenant's partitions, under qualified names.

func describeLogDirs(s *Services, c *Call, r *kmsg.DescribeLogDirsRequest) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	if !s.allowedOnCluster(c, security.OperationDescribe) {
		answer.ErrorCode = kerr.ClusterAuthorizationFailed.Code
		return answer
	}
	forBroker := s.isInternal(c.Peer)
	dirs := s.Replicas.Dirs()
	byDir := map[*log.Dir][]*replica.Partition{}
	for _, p := range s.Replicas.Partitions() {
		if !(forBroker || p.Topic.Tenant == c.Identity.Tenant) || !askedLogDirs(r, p) {
			continue
		}
		dir := dirs[0]
		if l := p.Log(); l != nil {
			dir = l.Dir()
		} else if p.Offline() {
			continue // it lies in a directory that could not be opened
		}
		byDir[dir] = append(byDir[dir], p)
	}
	for _, dir := range dirs {
		answer.Dirs = append(answer.Dirs, describeLogDir(dir, byDir[dir], forBroker))
	}
	for _, path := range s.MissingLogDirs {
		d := kmsg.NewDescribeLogDirsResponseDir()
		d.Dir, d.ErrorCode = absolutePath(path), kerr.KafkaStorageError.Code
		answer.Dirs = append(answer.Dirs, d)
	}
	tagLogFaults(answer, s.logFaults(c.Identity.Tenant))
	return answer
}

// askedLogDirs reports whether a request names the partition; no topics at all means all of them.
func askedLogDirs(r *kmsg.DescribeLogDirsRequest, p *replica.Partition) bool {
	if r.Topics == nil {
		return true
	}
	for _, t := range r.Topics {
		if t.Topic == p.Topic.Name && slices.Contains(t.Partitions, p.Number) {
			return true
		}
	}
	return false
}

func describeLogDir(dir *log.Dir, partitions []*replica.Partition, qualified bool) kmsg.DescribeLogDirsResponseDir {
	d := kmsg.NewDescribeLogDirsResponseDir()
	d.Dir = absolutePath(dir.Path())
	if dir.Err() != nil {
		d.ErrorCode = kerr.KafkaStorageError.Code
		return d
	}
	d.TotalBytes, d.UsableBytes = diskSpace(dir.Path())
	slices.SortFunc(partitions, func(a, b *replica.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic.Tenant, b.Topic.Tenant), cmp.Compare(a.Topic.Name, b.Topic.Name), cmp.Compare(a.Number, b.Number))
	})
	for _, p := range partitions {
		name := p.Topic.Name
		if qualified {
			name = coordinator.QualifiedName(p.Topic.Tenant, name)
		}
		if n := len(d.Topics); n == 0 || d.Topics[n-1].Topic != name {
			topic := kmsg.NewDescribeLogDirsResponseDirTopic()
			topic.Topic = name
			d.Topics = append(d.Topics, topic)
		}
		described := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		described.Partition, described.Size = p.Number, p.SizeBytes()
		described.OffsetLag = max(p.HighWatermark()-p.LogEndOffset(), 0)
		topic := &d.Topics[len(d.Topics)-1]
		topic.Partitions = append(topic.Partitions, described)
	}
	return d
}

func absolutePath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		return absolute
	}
	return path
}
