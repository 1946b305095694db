package oracle

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Meet asks a server who it is and what it speaks, and waits until its group coordinator answers for every partition
// of the offsets topic, so that no conversation sees a server that is still starting.
func Meet(name, address, dataDir string) (*Target, error) {
	t := &Target{Name: name, Address: address, DataDir: dataDir, newest: map[int16]int16{}}
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := t.readVersions(c); err != nil {
		return nil, fmt.Errorf("meet %s: %w", name, err)
	}
	if err := t.readClusterID(c); err != nil {
		return nil, fmt.Errorf("meet %s: %w", name, err)
	}
	if err := awaitCoordinator(c); err != nil {
		return nil, fmt.Errorf("meet %s: %w", name, err)
	}
	return t, nil
}

func exchange(c *connection, request kmsg.Request, version int16) (kmsg.Response, error) {
	request.SetVersion(version)
	if err := c.send(request, false); err != nil {
		return nil, err
	}
	return c.receive(answerWithin)
}

func (t *Target) readVersions(c *connection) error {
	request := kmsg.NewPtrApiVersionsRequest()
	request.ClientSoftwareName, request.ClientSoftwareVersion = "oracle", "1"
	response, err := exchange(c, request, 3)
	if err != nil {
		return err
	}
	for _, key := range response.(*kmsg.ApiVersionsResponse).ApiKeys {
		t.newest[key.ApiKey] = key.MaxVersion
	}
	return nil
}

func (t *Target) readClusterID(c *connection) error {
	response, err := exchange(c, kmsg.NewPtrMetadataRequest(), 9)
	if err != nil {
		return err
	}
	if id := response.(*kmsg.MetadataResponse).ClusterID; id != nil {
		t.clusterID = *id
	}
	return nil
}

// coordinatorNotReady are the codes of a coordinator that still loads or has no topic yet.
var coordinatorNotReady = []int16{14, 15, 16}

func awaitCoordinator(c *connection) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey = "oracle"
		response, err := exchange(c, find, 2)
		if err != nil {
			return err
		}
		if response.(*kmsg.FindCoordinatorResponse).ErrorCode != 0 {
			continue
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		for i := range 400 { // enough names to reach every one of the 50 partitions
			describe.Groups = append(describe.Groups, fmt.Sprintf("warm-%d", i))
		}
		described, err := exchange(c, describe, 4)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(described.(*kmsg.DescribeGroupsResponse).Groups, func(g kmsg.DescribeGroupsResponseGroup) bool {
			return slices.Contains(coordinatorNotReady, g.ErrorCode)
		}) {
			return awaitProducerIDs(c)
		}
	}
	return fmt.Errorf("the group coordinator is not ready")
}

func awaitProducerIDs(c *connection) error {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		request := kmsg.NewPtrInitProducerIDRequest()
		request.ProducerID, request.ProducerEpoch = -1, -1
		response, err := exchange(c, request, 4)
		if err != nil {
			return err
		}
		if response.(*kmsg.InitProducerIDResponse).ErrorCode == 0 {
			return nil
		}
	}
	return fmt.Errorf("no producer ids are given out")
}

// HoldAll holds every instance with the target, several at a time, and returns the transcripts in the order of the
// instances. Each instance names its own topics and groups, so they do not meet.
func HoldAll(target *Target, instances []Instance, atOnce int) ([]Transcript, []error) {
	transcripts, errs := make([]Transcript, len(instances)), make([]error, len(instances))
	next := make(chan int)
	var workers sync.WaitGroup
	for range atOnce {
		workers.Go(func() {
			for i := range next {
				transcripts[i], errs[i] = Hold(target, instances[i])
			}
		})
	}
	for i := range instances {
		next <- i
	}
	close(next)
	workers.Wait()
	return transcripts, errs
}
