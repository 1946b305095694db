package controller

import (
	"testing"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/image"
)

func TestFreshLeavesOutWhatHasChanged(t *testing.T) {
	id, gone := image.TopicID{1}, image.TopicID{2}
	e := image.Empty().Edit(1)
	parts := []*image.Partition{{PartitionEpoch: 3, Leader: 9}, {PartitionEpoch: 5}, {Leader: 9}, {Leader: -1}}
	if err := e.PutBroker(&image.Broker{ID: 9, Fenced: true}); err != nil {
		t.Fatal(err)
	}
	if err := e.CreateTopic(image.NewTopic(id, "default", "t", false, nil, parts)); err != nil {
		t.Fatal(err)
	}
	img, _ := e.Done()
	planned := command.Group{
		command.ChangePartitions{TopicID: id, Changes: []command.PartitionChange{
			{Partition: 0, PartitionEpoch: 3, Leader: 9}, {Partition: 1, PartitionEpoch: 4}, {Partition: 2, Leader: 8}, {Partition: 3, Leader: 9}, {Partition: 4},
		}},
		command.ChangePartitions{TopicID: gone, Changes: []command.PartitionChange{{Partition: 0}}},
		command.RemoveBroker{ID: 7},
	}
	fresh := Fresh(img, planned)
	if len(fresh) != 2 || fresh[1] != (command.RemoveBroker{ID: 7}) {
		t.Fatalf("fresh are %+v", fresh)
	}
	if left := fresh[0].(command.ChangePartitions); left.TopicID != id || len(left.Changes) != 1 || left.Changes[0].Partition != 0 {
		t.Errorf("of the topic are left %+v", left)
	}
	if whole := planned[0].(command.ChangePartitions); len(whole.Changes) != 5 {
		t.Errorf("the plan itself became %+v", whole)
	}
}
