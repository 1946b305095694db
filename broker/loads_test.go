package broker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/coordinator"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

func TestLoadsAreSizesAndGrowth(t *testing.T) {
	e := image.Empty().Edit(1)
	for id := int32(1); id <= 3; id++ {
		if err := e.PutBroker(&image.Broker{ID: id, Fenced: id == 3}); err != nil {
			t.Fatal(err)
		}
	}
	topic := image.TopicID{7}
	if err := e.CreateTopic(image.NewTopic(topic, security.DefaultTenant, "orders", false, nil, []*image.Partition{{Replicas: []int32{1, 2}}})); err != nil {
		t.Fatal(err)
	}
	ofBlue := image.TopicID{8}
	if err := e.CreateTopic(image.NewTopic(ofBlue, "blue", "orders", false, nil, []*image.Partition{{Replicas: []int32{1, 2}}})); err != nil {
		t.Fatal(err)
	}
	img, _ := e.Done()
	sizes := map[int32]int64{1: 1000, 2: 900}
	ask := func(_ context.Context, id int32, request kmsg.Request) (kmsg.Response, error) {
		size, there := sizes[id]
		if !there {
			return nil, errors.New("nobody answers")
		}
		answer := request.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		answer.Dirs = []kmsg.DescribeLogDirsResponseDir{{Topics: []kmsg.DescribeLogDirsResponseDirTopic{
			{Topic: "orders", Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{{Size: size}}},
			{Topic: coordinator.QualifiedName("blue", "orders"), Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{{Size: 7}}},
			{Topic: "deleted meanwhile", Partitions: []kmsg.DescribeLogDirsResponseDirTopicPartition{{Size: 5}}},
		}}}
		return answer, nil
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLoads(ask, func() *image.Image { return img })
		orders := controller.PartitionID{TopicID: topic}
		found, err := l.of(t.Context())
		if err != nil || len(found) != 2 || len(found[0].Partitions) != 2 || found[1].Partitions[orders] != (controller.Load{Bytes: 900}) ||
			found[1].Partitions[controller.PartitionID{TopicID: ofBlue}] != (controller.Load{Bytes: 7}) {
			t.Errorf("at first %+v, %v", found, err)
		}
		time.Sleep(10 * time.Second)
		sizes[1], sizes[2] = 3000, 950
		found, err = l.of(t.Context())
		if err != nil || found[0].Partitions[orders] != (controller.Load{Bytes: 3000, BytesPerSecond: 200}) {
			t.Errorf("ten seconds later %+v, %v", found, err)
		}
		delete(sizes, 2)
		time.Sleep(time.Second)
		found, err = l.of(t.Context())
		if err == nil || len(found[0].Partitions) != 2 {
			t.Errorf("with a broker that does not answer %+v, %v", found, err)
		}
	})
}
