package metadata

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
)

// company is the controller of a cluster whose other brokers are the test.
type company struct {
	*Node
	t      *testing.T
	epochs map[int32]int64
}

// inCluster runs a test in a bubble with a controller that reckons with company.
func inCluster(t *testing.T, cfg Config, test func(*company)) {
	synctest.Test(t, func(t *testing.T) {
		cfg.Address = "127.0.0.1:1"
		n, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		if err := n.Start(); err != nil {
			t.Fatal(err)
		}
		test(&company{n, t, map[int32]int64{}})
	})
}

func (c *company) register(id int32, incarnation byte) error {
	epoch, err := c.RegisterBroker(c.t.Context(), image.Broker{ID: id, Incarnation: [16]byte{incarnation}, Rack: strconv.Itoa(int(id))})
	if err == nil {
		c.epochs[id] = epoch
	}
	return err
}

func (c *company) beat(id int32, h controller.Heartbeat) controller.HeartbeatAnswer {
	c.t.Helper()
	h.BrokerID, h.BrokerEpoch = id, c.epochs[id]
	if h.MetadataOffset == 0 {
		h.MetadataOffset = int64(c.Image().Index())
	}
	answer, err := c.Heartbeat(c.t.Context(), h)
	if err != nil {
		c.t.Fatalf("heartbeat of %d: %v", id, err)
	}
	return answer
}

// join registers brokers and has them unfenced.
func (c *company) join(ids ...int32) {
	c.t.Helper()
	for _, id := range ids {
		if err := c.register(id, 1); err != nil {
			c.t.Fatal(err)
		}
		if answer := c.beat(id, controller.Heartbeat{}); answer.Fenced || !answer.CaughtUp {
			c.t.Fatalf("broker %d after its first heartbeat: %+v", id, answer)
		}
	}
}

// live lets time pass in which brokers are heard from.
func (c *company) live(d time.Duration, ids ...int32) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		time.Sleep(min(500*time.Millisecond, time.Until(end)))
		for _, id := range ids {
			c.beat(id, controller.Heartbeat{})
		}
	}
	synctest.Wait()
}

func (c *company) topic(replicas ...int32) *image.Topic {
	c.t.Helper()
	name := "t" + strconv.Itoa(c.Image().TopicCount())
	create(c.t, c.Node, controller.NewTopic{Name: name, PartitionCount: -1, ReplicationFactor: -1, Assignments: []controller.Assignment{{Replicas: replicas}}})
	return c.Image().Topic("default", name)
}

func (c *company) partition(t *image.Topic) *image.Partition {
	return c.Image().TopicByID(t.ID).Partition(0)
}

// catchUp makes everybody who may be in sync be it.
func (c *company) catchUp(t *image.Topic) {
	c.t.Helper()
	p := c.partition(t)
	change := controller.ISRChange{TopicID: t.ID, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch}
	for _, id := range p.Replicas {
		if c.Image().Broker(id).Active() {
			change.ISR = append(change.ISR, controller.ISRMember{ID: id, BrokerEpoch: c.epochs[id]})
		}
	}
	outcomes, err := c.AlterPartitions(c.t.Context(), p.Leader, c.epochs[p.Leader], []controller.ISRChange{change})
	if err != nil || outcomes[0].Err != nil && !errors.Is(outcomes[0].Err, kerr.NewLeaderElected) {
		c.t.Fatalf("catch up %+v: %v %+v", p, err, outcomes)
	}
	synctest.Wait()
}

func (c *company) set(r config.Resource, key, value string) {
	c.t.Helper()
	r.Type = config.BrokerResource
	for _, err := range c.AlterConfigs(c.t.Context(), []controller.ConfigChange{{Resource: r, Ops: []controller.ConfigOp{{Name: key, Value: &value}}}}, false) {
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func TestBrokerIsUnfencedWhenItHasCaughtUp(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		if err := c.register(1, 1); err != nil {
			t.Fatal(err)
		}
		if answer := c.beat(1, controller.Heartbeat{MetadataOffset: c.epochs[1] - 1}); !answer.Fenced || answer.CaughtUp {
			t.Errorf("a broker that has not seen its registration: %+v", answer)
		}
		if answer := c.beat(1, controller.Heartbeat{WantFence: true}); !answer.Fenced {
			t.Errorf("a broker that wants to be fenced: %+v", answer)
		}
		if answer := c.beat(1, controller.Heartbeat{}); answer.Fenced || c.Image().Broker(1).Fenced {
			t.Errorf("a broker that has caught up: %+v", answer)
		}
		_, err := c.Heartbeat(t.Context(), controller.Heartbeat{BrokerID: 1, BrokerEpoch: c.epochs[1] - 1})
		if !errors.Is(err, kerr.StaleBrokerEpoch) {
			t.Errorf("a heartbeat of another epoch: %v", err)
		}
	})
}

func TestSilentBrokerIsFencedAtTheEndOfItsSession(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		topic := c.topic(2, 1)
		began := time.Now()
		c.live(3*time.Second-time.Millisecond, 1)
		if c.Image().Broker(2).Fenced {
			t.Errorf("fenced after %s", time.Since(began))
		}
		c.live(2*time.Millisecond, 1)
		if p := c.partition(topic); !c.Image().Broker(2).Fenced || p.Leader != 1 || !slices.Equal(p.ISR, []int32{1}) {
			t.Errorf("after %s of silence: %+v, %+v", time.Since(began), c.Image().Broker(2), p)
		}
		index := c.Image().Index()
		c.live(time.Hour, 1)
		if c.Image().Broker(1).Fenced || c.Image().Index() != index {
			t.Errorf("an hour of heartbeats took the log from %d to %d", index, c.Image().Index())
		}
	})
}

// Who was fenced and is unfenced by its next heartbeat is told how far to read before it trusts what it knows.
func TestHeartbeatSaysWhatMustBeKnown(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		c.topic(2, 1)
		before := c.Image().Index()
		c.live(4*time.Second, 1)
		if !c.Image().Broker(2).Fenced {
			t.Fatal("not fenced")
		}
		fenced := c.Image().Index()
		if answer := c.beat(2, controller.Heartbeat{WantFence: true}); answer.Vouched != 0 {
			t.Errorf("vouched for a fenced broker up to %d", answer.Vouched)
		}
		answer := c.beat(2, controller.Heartbeat{MetadataOffset: int64(before)})
		if answer.Fenced || answer.Vouched <= fenced {
			t.Errorf("%+v, fenced at %d", answer, fenced)
		}
	})
}

func TestBrokerWhoseProcessIsGoneIsFencedAtOnce(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		c.BrokerGone(2, [16]byte{7}) // an earlier process
		synctest.Wait()
		if c.Image().Broker(2).Fenced {
			t.Error("fenced for the end of another incarnation")
		}
		began := time.Now()
		c.BrokerGone(2, [16]byte{1})
		synctest.Wait()
		if !c.Image().Broker(2).Fenced || time.Since(began) != 0 {
			t.Errorf("fenced %v after %s", c.Image().Broker(2).Fenced, time.Since(began))
		}
		if err := c.register(2, 2); err != nil {
			t.Errorf("its next process: %v", err)
		}
	})
}

// The metadata log of the controller stands still for longer than a session lasts (a slow disk, say), while brokers go on sending
// heartbeats: none of them is fenced for it, neither one that waits to be unfenced nor one whose heartbeat comes before its fencing.
func TestBrokersAreNotFencedForTheSlownessOfTheLog(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		if err := c.register(3, 1); err != nil {
			t.Fatal(err)
		}
		slow := func() {
			go c.one(c.t.Context(), func(*image.Image) (command.Group, error) {
				time.Sleep(30 * time.Second)
				return nil, nil
			})
			time.Sleep(time.Second)
		}
		slow()
		go c.live(28*time.Second, 1, 2)
		if answer := c.beat(3, controller.Heartbeat{}); answer.Fenced {
			t.Errorf("%+v", answer)
		}
		index := c.Image().Index()
		c.live(2*time.Second, 1, 2) // 3 is silent for less than a session
		c.live(time.Second, 1, 2, 3)
		slow()
		time.Sleep(27500 * time.Millisecond) // nobody is heard of, and the fencing of all waits for the log
		c.live(5*time.Second, 1, 2, 3)
		if now := c.Image().Index(); now != index {
			t.Errorf("somebody was fenced: the log went from %d to %d", index, now)
		}
	})
}

func TestIDOfALivingBrokerIsRefused(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		if err := c.register(2, 9); !errors.Is(err, kerr.DuplicateBrokerRegistration) {
			t.Errorf("a second broker 2: %v", err)
		}
		epoch := c.epochs[2]
		if err := c.register(2, 1); err != nil || c.epochs[2] != epoch {
			t.Errorf("the same process again: epoch %d after %d, %v", c.epochs[2], epoch, err)
		}
		c.live(4*time.Second, 1)
		if err := c.register(2, 9); err != nil {
			t.Errorf("after the end of the session: %v", err)
		}
	})
}

func TestNewControllerGivesEverybodyAWholeSession(t *testing.T) {
	dir := t.TempDir()
	inCluster(t, testConfig(dir), func(c *company) {
		c.join(1, 2)
		c.live(2900*time.Millisecond, 1)
	})
	inCluster(t, testConfig(dir), func(c *company) {
		c.epochs[1] = c.Image().Broker(1).Epoch
		c.live(2900*time.Millisecond, 1)
		if c.Image().Broker(2).Fenced {
			t.Error("fenced by what another controller knew")
		}
		if err := c.register(1, 5); !errors.Is(err, kerr.DuplicateBrokerRegistration) {
			t.Errorf("an id that this controller has heard from: %v", err)
		}
		c.live(200*time.Millisecond, 1)
		if !c.Image().Broker(2).Fenced {
			t.Error("not fenced after a session without a word")
		}
	})
	inCluster(t, testConfig(dir), func(c *company) {
		if err := c.register(1, 6); err != nil {
			t.Errorf("a restart of everything: %v", err)
		}
	})
}

func TestControlledShutdownWaitsForTheOthers(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2, 3)
		topic := c.topic(1, 2, 3)
		if answer := c.beat(1, controller.Heartbeat{WantShutdown: true}); answer.ShouldShutdown || answer.Fenced {
			t.Errorf("at first: %+v", answer)
		}
		if p := c.partition(topic); p.Leader != 2 || slices.Contains(p.ISR, 1) || !c.Image().Broker(1).InControlledShutdown {
			t.Errorf("the leadership has not moved: %+v", p)
		}
		moved := int64(c.Image().Index())
		c.beat(2, controller.Heartbeat{MetadataOffset: moved})
		c.beat(3, controller.Heartbeat{MetadataOffset: moved - 1})
		if answer := c.beat(1, controller.Heartbeat{WantShutdown: true}); answer.ShouldShutdown {
			t.Error("may stop before broker 3 knows the new leader")
		}
		c.beat(3, controller.Heartbeat{MetadataOffset: moved})
		if answer := c.beat(1, controller.Heartbeat{WantShutdown: true}); !answer.ShouldShutdown || !c.Image().Broker(1).Fenced {
			t.Errorf("when all know: %+v", answer)
		}
		if err := c.register(1, 2); err != nil {
			t.Errorf("the restart: %v", err)
		}
		if answer := c.beat(3, controller.Heartbeat{WantShutdown: true}); !answer.ShouldShutdown {
			t.Errorf("a broker that leads nothing need not wait: %+v", answer)
		}
	})
}

func TestOnlyTheControllerAnswers(t *testing.T) {
	n, err := Open(t.Context(), testConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() // never started: it leads nothing
	_, heartbeat := n.Heartbeat(t.Context(), controller.Heartbeat{})
	_, list := n.ListReassignments(t.Context(), "default", nil)
	for name, err := range map[string]error{"Heartbeat": heartbeat, "ListReassignments": list} {
		if !errors.Is(err, kerr.NotController) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAloneServesAtOnce(t *testing.T) {
	n := start(t, testConfig(""))
	if n.Image().Broker(1).Fenced {
		t.Error("the only broker is fenced")
	}
}

func TestLeadershipsGoBackByTime(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2)
		topic := c.topic(1, 2)
		c.BrokerGone(1, [16]byte{1})
		synctest.Wait()
		c.register(1, 2)
		c.beat(1, controller.Heartbeat{})
		c.catchUp(topic)
		if p := c.partition(topic); p.Leader != 2 || len(p.ISR) != 2 {
			t.Fatalf("before: %+v", p)
		}
		c.live(301*time.Second, 1, 2)
		if p := c.partition(topic); p.Leader != 1 {
			t.Errorf("after the interval: %+v", p)
		}
	})
}

func TestDrainRunsToItsEndAndBack(t *testing.T) {
	inCluster(t, testConfig(""), func(c *company) {
		c.join(1, 2, 3)
		topics := []*image.Topic{c.topic(1, 2), c.topic(2, 1), c.topic(1, 3)}
		c.set(config.Resource{Name: "1"}, "millrace.drain", "true")
		c.live(time.Second, 1, 2, 3)
		for _, topic := range topics {
			if p := c.partition(topic); p.Mover != image.ByDrain || p.Leader == 1 {
				t.Errorf("%s is not on its way: %+v", topic.Name, p)
			}
		}
		ongoing, err := c.ListReassignments(t.Context(), "default", nil)
		if err != nil || len(ongoing) != 3 {
			t.Errorf("listed %+v, %v", ongoing, err)
		}
		c.catchUp(topics[0])
		c.set(config.Resource{Name: "1"}, "millrace.drain", "false")
		c.live(time.Second, 1, 2, 3)
		if p := c.partition(topics[0]); slices.Contains(p.Replicas, 1) {
			t.Errorf("what was complete came back: %+v", p)
		}
		if p := c.partition(topics[2]); p.Reassigning() || !slices.Equal(p.Replicas, []int32{1, 3}) {
			t.Errorf("what was under way was not cancelled: %+v", p)
		}
	})
}

func TestBrokerThatJoinsGetsItsShareByLoad(t *testing.T) {
	cfg := testConfig("")
	var mu sync.Mutex // guards topics and asked: the mover asks for loads while the test creates topics
	var topics []*image.Topic
	asked := 0
	cfg.Loads = func(context.Context) ([]controller.BrokerLoad, error) {
		mu.Lock()
		defer mu.Unlock()
		asked++
		load := controller.BrokerLoad{BrokerID: 1, Partitions: map[controller.PartitionID]controller.Load{}}
		for i, topic := range topics {
			load.Partitions[controller.PartitionID{TopicID: topic.ID}] = controller.Load{Bytes: int64(1 + 1000*(i%2))}
		}
		return []controller.BrokerLoad{load}, errors.New("broker 2 did not answer")
	}
	inCluster(t, cfg, func(c *company) {
		c.join(1, 2)
		for range 8 {
			topic := c.topic(1, 2)
			mu.Lock()
			topics = append(topics, topic)
			mu.Unlock()
		}
		c.live(time.Minute, 1, 2)
		index := c.Image().Index()
		c.join(3)
		for range 20 {
			c.live(time.Second, 1, 2, 3)
			for _, topic := range topics {
				c.catchUp(topic)
			}
		}
		bytes := map[int32]int{}
		for i, topic := range topics {
			p := c.partition(topic)
			if p.Reassigning() || len(p.Replicas) != 2 {
				t.Errorf("%s has not come to rest: %+v", topic.Name, p)
			}
			for _, id := range p.Replicas {
				bytes[id] += 1 + 1000*(i%2)
			}
		}
		for id := int32(1); id <= 3; id++ {
			if bytes[id] < 2000 || bytes[id] > 3100 {
				t.Errorf("broker %d has %d of 8008 bytes", id, bytes[id])
			}
		}
		settled := c.Image().Index()
		c.live(time.Hour, 1, 2, 3)
		if c.Image().Index() > settled+8 { // leaderships go to new preferred replicas, once
			t.Errorf("from %d it settled at %d and went on to %d", index, settled, c.Image().Index())
		}
		mu.Lock()
		defer mu.Unlock()
		if asked == 0 || asked > 10 {
			t.Errorf("asked for loads %d times", asked)
		}
	})
}
