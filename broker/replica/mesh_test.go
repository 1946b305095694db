package replica

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/log"
	"github.com/millrace-io/millrace/broker/vfs"
	"github.com/millrace-io/millrace/metadata/command"
	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/controller"
	"github.com/millrace-io/millrace/metadata/image"
	"github.com/millrace-io/millrace/security"
)

// mesh is several managers in one process, each with a file system in memory, over links that are method calls. The pure
// controller decides on one image, which every manager that runs follows. Fetches may wait for a minute at the leader:
// whatever should end a wait and does not shows as a test that hangs.
type mesh struct {
	t          *testing.T
	controller *controller.Controller

	mu    sync.Mutex // held while the image changes and is handed on
	img   *image.Image
	index uint64
	nodes []*meshNode // by id, from 1 on
}

type meshNode struct {
	mesh  *mesh
	id    int32
	start byte
	disk  *vfs.Memory

	mu      sync.Mutex
	manager *Manager // guarded by mu; nil: the node is down
	dir     *log.Dir
	epoch   int64
	later   atomic.Int64   // how much its clock is ahead, in nanoseconds
	sees    atomic.Int32   // whose process it knows to have ended
	lapsed  atomic.Bool    // its session at the controller may have ended
	deaf    atomic.Bool    // it does not hear from the controller, nor the controller from it
	cut     map[int32]bool // guarded by mu: whom this node does not reach

	muffled      atomic.Bool // what it sends is lost, and so is the end of its connections
	unregistered atomic.Bool // its registration is under way
	inquiries    inquiries   // what it asked others of its leaderships
}

func newMesh(t *testing.T, nodes int) *mesh {
	resolver := config.NewResolver(1, nil)
	m := &mesh{t: t, controller: controller.New(resolver), img: image.Empty(), nodes: []*meshNode{nil}}
	for id := range int32(nodes) {
		m.nodes = append(m.nodes, &meshNode{mesh: m, id: id + 1, disk: vfs.NewMemory(), cut: map[int32]bool{}})
	}
	for _, n := range m.nodes[1:] {
		n.run()
	}
	t.Cleanup(func() {
		for _, n := range m.nodes[1:] {
			n.stop()
		}
	})
	return m
}

// change applies what plan makes of the image, and hands it to every node that runs.
func (m *mesh) change(plan func(*image.Image) (command.Group, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changeLocked(plan)
}

func (m *mesh) changeLocked(plan func(*image.Image) (command.Group, error)) error {
	group, err := plan(m.img)
	if err != nil || len(group) == 0 {
		return err
	}
	m.index++
	changes := image.NewChanges()
	next, refusals := command.Apply(m.img, m.index, []command.Group{group}, changes)
	if refusals[0] != nil {
		return refusals[0]
	}
	delta := changes.Delta(m.img, next)
	m.img = next
	for _, n := range m.nodes[1:] {
		if manager := n.running(); manager != nil && !n.deaf.Load() {
			manager.Apply(delta)
		}
	}
	return nil
}

func (m *mesh) must(plan func(*image.Image) (command.Group, error)) {
	m.t.Helper()
	if err := m.change(plan); err != nil {
		m.t.Fatal(err)
	}
}

func (n *meshNode) running() *Manager {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.manager
}

// run starts the node on what is on its disk and registers it.
func (n *meshNode) run() {
	m := n.mesh
	m.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	dir, err := log.OpenDir(log.DirConfig{Path: "/data", FS: n.disk, Clock: time.Now, Logger: logger, ClusterID: "c", NodeID: n.id})
	if err != nil {
		m.t.Fatal(err)
	}
	n.start++
	m.must(func(img *image.Image) (command.Group, error) {
		return m.controller.RegisterBroker(img, controller.Registration{Broker: image.Broker{
			ID: n.id, Incarnation: [16]byte{byte(n.id), n.start}, Epoch: -1, Directories: [][16]byte{dir.ID()}, Rack: fmt.Sprint("rack", n.id),
			Listeners: []image.Listener{{Name: "PLAINTEXT", Host: "h", Port: 1}}}})
	})
	manager, err := New(Config{NodeID: n.id, Dirs: []*log.Dir{dir}, CleanerDisabled: true, Settings: config.NewResolver(n.id, nil), Clock: n.now, Logger: logger,
		Cluster: Cluster{Leaders: n, Controller: n, BrokerEpoch: n.brokerEpoch, SessionHeld: func() bool { return !n.lapsed.Load() },
			Gone: func(id int32) bool { return n.sees.Load() == id }, MaxLag: 2 * time.Second,
			FetchWait: time.Minute, FetchBackoff: 50 * time.Millisecond, RackAware: true}})
	if err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	n.mu.Lock()
	n.dir, n.epoch = dir, m.img.Broker(n.id).Epoch
	n.mu.Unlock()
	manager.Apply(image.Difference(image.Empty(), m.img))
	n.mu.Lock()
	n.manager = manager
	n.mu.Unlock()
	m.mu.Unlock()
	m.must(func(img *image.Image) (command.Group, error) { return m.controller.UnfenceBroker(img, n.id), nil })
}

func (n *meshNode) brokerEpoch() int64 {
	if n.unregistered.Load() {
		return -1
	}
	return n.epoch
}

func (n *meshNode) now() time.Time { return time.Now().Add(time.Duration(n.later.Load())) }

// stop ends the node's process; with crash what was not synced may be lost.
func (n *meshNode) stop() {
	n.mesh.mu.Lock()
	n.mu.Lock()
	manager, dir := n.manager, n.dir
	n.manager = nil
	n.mu.Unlock()
	n.mesh.mu.Unlock()
	if manager != nil {
		manager.Close()
		_ = dir.Close()
	}
}

func (n *meshNode) crash(rng *rand.Rand) {
	clone := n.disk.CrashClone(rng)
	n.stop()
	n.disk = clone
}

// fence is what the controller does when it does not hear of a node.
func (m *mesh) fence(id int32) {
	m.must(func(img *image.Image) (command.Group, error) { return m.controller.FenceBroker(img, id), nil })
}

func (n *meshNode) reaches(other int32) (*Manager, error) {
	n.mu.Lock()
	cut := n.cut[other]
	n.mu.Unlock()
	manager := n.mesh.nodes[other].running()
	switch {
	case cut:
		return nil, errors.New("not reachable")
	case manager == nil:
		return nil, syscall.ECONNREFUSED
	}
	return manager, nil
}

func (n *meshNode) setCut(other int32, cut bool) {
	n.mu.Lock()
	n.cut[other] = cut
	n.mu.Unlock()
}

// AlterPartition implements Controller.
func (n *meshNode) AlterPartition(_ context.Context, req *kmsg.AlterPartitionRequest) (*kmsg.AlterPartitionResponse, error) {
	if n.deaf.Load() {
		return nil, errors.New("not reachable")
	}
	req = reread(req)
	var changes []controller.ISRChange
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			change := controller.ISRChange{TopicID: t.TopicID, Partition: p.Partition, LeaderEpoch: p.LeaderEpoch, PartitionEpoch: p.PartitionEpoch,
				RecoveryState: image.RecoveryState(p.LeaderRecoveryState)}
			for _, member := range p.NewEpochISR {
				change.ISR = append(change.ISR, controller.ISRMember{ID: member.BrokerID, BrokerEpoch: member.BrokerEpoch})
			}
			changes = append(changes, change)
		}
	}
	answer := kmsg.NewPtrAlterPartitionResponse()
	// The image reaches the managers on a goroutine of its own, as it does in a broker: the asker must not wait for it here.
	done := make(chan []controller.ISROutcome, 1)
	go func() {
		_ = n.mesh.change(func(img *image.Image) (command.Group, error) {
			outcomes, group, err := n.mesh.controller.AlterPartitions(img, req.BrokerID, req.BrokerEpoch, changes)
			if err != nil {
				answer.ErrorCode = codeOf(err)
			}
			done <- outcomes
			return group, err
		})
	}()
	for _, o := range <-done {
		topic := kmsg.NewAlterPartitionResponseTopic()
		topic.TopidID = o.TopicID
		p := kmsg.NewAlterPartitionResponseTopicPartition()
		p.Partition, p.ErrorCode, p.LeaderID, p.LeaderEpoch, p.ISR, p.PartitionEpoch = o.Partition, codeOf(o.Err), o.Leader, o.LeaderEpoch, o.ISR, o.PartitionEpoch
		topic.Partitions = append(topic.Partitions, p)
		answer.Topics = append(answer.Topics, topic)
	}
	return answer, nil
}

func codeOf(err error) int16 {
	if err == nil {
		return 0
	}
	return asKafka(err).Code
}

func reread(req *kmsg.AlterPartitionRequest) *kmsg.AlterPartitionRequest {
	read := &kmsg.AlterPartitionRequest{Version: req.Version}
	if err := read.ReadFrom(req.AppendTo(nil)); err != nil {
		panic(err)
	}
	return read
}

// Dial implements Leaders.
func (n *meshNode) Dial(_ context.Context, nodeID int32) (Leader, error) {
	if _, err := n.reaches(nodeID); err != nil {
		return nil, err
	}
	return newMeshLink(context.Background(), n, nodeID), nil
}

// Do implements Leaders.
func (n *meshNode) Do(ctx context.Context, nodeID int32, req kmsg.Request) (kmsg.Response, error) {
	if n.muffled.Load() {
		return nil, errors.New("not reachable")
	}
	if fetch, ok := req.(*kmsg.FetchRequest); ok {
		return n.consume(nodeID, fetch)
	}
	if asked, ok := req.(*kmsg.OffsetForLeaderEpochRequest); ok {
		return n.inquire(ctx, nodeID, asked)
	}
	l := newMeshLink(ctx, n, nodeID)
	defer l.Close()
	resp := req.ResponseKind()
	_, err := l.DoInto(req, resp, nil, time.Hour)
	return resp, err
}

// meshLink is a connection from a follower to a leader. The other end is what package api does with it.
type meshLink struct {
	from    *meshNode
	to      int32
	ctx     context.Context // ended by Close
	cancel  context.CancelFunc
	mu      sync.Mutex       // held for the length of a request
	session *FollowerSession // guarded by mu
	manager *Manager         // guarded by mu
}

func newMeshLink(ctx context.Context, from *meshNode, to int32) *meshLink {
	l := &meshLink{from: from, to: to}
	l.ctx, l.cancel = context.WithCancel(ctx)
	return l
}

func (l *meshLink) Close() error {
	l.cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.from.muffled.Load() {
		l.endSession()
	}
	return nil
}

func (l *meshLink) endSession() {
	if l.session != nil {
		l.session.Close()
		l.session = nil
	}
}

// DoInto implements Leader.
func (l *meshLink) DoInto(req kmsg.Request, resp kmsg.Response, buf []byte, _ time.Duration) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from.muffled.Load() {
		<-l.ctx.Done()
		return buf, errors.New("no answer came")
	}
	manager, err := l.from.reaches(l.to)
	if err != nil || l.manager != nil && l.manager != manager {
		return buf, errors.New("connection lost")
	}
	l.manager = manager
	asked := &kmsg.FetchRequest{Version: fetchVersion}
	if err := asked.ReadFrom(req.AppendTo(nil)); err != nil {
		return buf, fmt.Errorf("request: %w", err)
	}
	answer := kmsg.NewPtrFetchResponse()
	answer.Version = fetchVersion
	if err := l.serve(manager, asked, answer); err != nil {
		return buf, err
	}
	if now, err := l.from.reaches(l.to); err != nil || now != manager {
		return buf, errors.New("connection lost")
	}
	buf = answer.AppendTo(buf[:0])
	return buf, resp.ReadFrom(buf)
}

func (l *meshLink) serve(m *Manager, asked *kmsg.FetchRequest, answer *kmsg.FetchResponse) error {
	node, epoch := asked.ReplicaState.ID, asked.ReplicaState.Epoch
	if err := m.CheckFollower(node, epoch); err != nil {
		answer.ErrorCode = codeOf(err)
		return nil
	}
	switch {
	case asked.SessionEpoch == -1:
		m.InterruptFollower(node, asked.SessionID)
		return nil
	case asked.SessionEpoch == 0:
		l.endSession()
		l.session = m.NewFollowerSession(node, epoch, nil)
		l.session.Epoch = 1
	case l.session == nil || l.session.ID != asked.SessionID || l.session.Epoch != asked.SessionEpoch:
		answer.ErrorCode = kerr.FetchSessionIDNotFound.Code
		return nil
	default:
		l.session.Epoch++
		l.session.Heard()
	}
	answer.SessionID = l.session.ID
	for _, t := range asked.ForgottenTopics {
		for _, number := range t.Partitions {
			l.session.Forget(t.TopicID, number)
		}
	}
	for _, t := range asked.Topics {
		for _, p := range t.Partitions {
			l.session.Ask(t.TopicID, p.Partition, ReplicaFetch{CurrentLeaderEpoch: p.CurrentLeaderEpoch, FetchOffset: p.FetchOffset,
				LastFetchedEpoch: p.LastFetchedEpoch, LogStartOffset: p.LogStartOffset, MaxBytes: p.PartitionMaxBytes})
		}
	}
	deadline := time.Now().Add(time.Duration(asked.MaxWaitMillis) * time.Millisecond)
	for {
		found, urgent := l.session.Collect(nil, int(asked.MaxBytes))
		if left := time.Until(deadline); !urgent && len(found) == 0 && left > 0 && !l.session.Interrupted() {
			timer := time.NewTimer(left)
			select {
			case <-l.session.C:
			case <-timer.C:
			case <-l.ctx.Done():
				timer.Stop()
				return l.ctx.Err()
			}
			timer.Stop()
			continue
		}
		for i := range found {
			if err := addFound(answer, &found[i]); err != nil {
				return err
			}
		}
		l.session.Told(found)
		return nil
	}
}

func addFound(answer *kmsg.FetchResponse, f *Found) error {
	topic := kmsg.NewFetchResponseTopic()
	topic.TopicID = f.Topic
	p := kmsg.NewFetchResponseTopicPartition()
	p.Partition, p.ErrorCode, p.HighWatermark, p.LastStableOffset, p.LogStartOffset = f.Number, codeOf(f.Err), f.HighWatermark, f.LogEndOffset, f.LogStartOffset
	if f.Diverging.EndOffset >= 0 {
		p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = f.Diverging.Epoch, f.Diverging.EndOffset
	}
	if n := f.Slice.SizeBytes; n > 0 {
		p.RecordBatches = make([]byte, n)
		if f.Slice.File != nil {
			if _, err := f.Slice.File.ReadAt(p.RecordBatches, f.Slice.Position); err != nil {
				return err
			}
		} else {
			copy(p.RecordBatches, f.Slice.Bytes)
		}
		f.Slice.Release()
	}
	topic.Partitions = append(topic.Partitions, p)
	answer.Topics = append(answer.Topics, topic)
	return nil
}

// create makes a topic whose partitions lie on the given replicas.
func (m *mesh) create(name string, settings map[string]string, replicas ...[]int32) {
	m.t.Helper()
	m.must(func(img *image.Image) (command.Group, error) {
		topic := controller.NewTopic{Name: name, PartitionCount: -1, ReplicationFactor: -1, Configs: map[string]*string{}}
		for key, value := range settings {
			topic.Configs[key] = &value
		}
		for i, r := range replicas {
			topic.Assignments = append(topic.Assignments, controller.Assignment{Partition: int32(i), Replicas: r})
		}
		created, group := m.controller.CreateTopics(img, security.DefaultTenant, []controller.NewTopic{topic})
		return group, created[0].Err
	})
}

func (m *mesh) image() *image.Image {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.img
}

func (m *mesh) state(topic string, number int32) *image.Partition {
	return m.image().Topic(security.DefaultTenant, topic).Partition(number)
}

// on returns a node's replica.
func (m *mesh) on(id int32, topic string, number int32) *Partition {
	m.t.Helper()
	manager := m.nodes[id].running()
	if manager == nil {
		return nil
	}
	if t := manager.TopicByName(security.DefaultTenant, []byte(topic)); t != nil {
		return t.Partition(number)
	}
	return nil
}

// eventually waits for what other goroutines bring about.
func (m *mesh) eventually(what string, holds func() bool) {
	m.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			m.t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

// append appends a record on a node with acks=all and waits; the error says why it is not known to be committed.
func (m *mesh) append(id int32, topic string, number int32, value string) (offset int64, err error) {
	p := m.on(id, topic, number)
	if p == nil {
		return -1, errors.New("not here")
	}
	entries := []log.Entry{entry(m.t, value)}
	epoch, err := p.Append(entries, AcksAll, log.OriginClient, AnyEpoch)
	if err == nil {
		err = entries[0].Err
	}
	if err != nil {
		return -1, err
	}
	end := entries[0].LastOffset + 1
	w := NewWaiter()
	w.Reset(0)
	if p.AwaitOffset(end, epoch, w) {
		timer := time.NewTimer(5 * time.Second)
		defer timer.Stop()
		select {
		case <-w.C:
		case <-timer.C:
			p.ForgetOffset(w)
		}
	}
	return entries[0].BaseOffset, p.Committed(end, epoch)
}

// read returns the bytes of a replica's log below an offset.
func read(t *testing.T, p *Partition, upTo int64) (all []byte) {
	t.Helper()
	l := p.Log()
	if l == nil || upTo == 0 {
		return nil
	}
	for offset := l.LogStartOffset(); offset < upTo; {
		slice, err := l.Read(offset, upTo, 1<<20, true)
		if err != nil {
			t.Fatal(err)
		}
		data := slices.Clone(slice.Bytes)
		if slice.File != nil {
			data = make([]byte, slice.SizeBytes)
			if _, err := slice.File.ReadAt(data, slice.Position); err != nil {
				t.Fatal(err)
			}
		}
		slice.Release()
		if len(data) == 0 {
			t.Fatalf("%s: nothing at %d of %d", p.Name(), offset, upTo)
		}
		batches, err := checkFetched(nil, data, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		offset = batches[len(batches)-1].NextOffset()
		all = append(all, data...)
	}
	return all
}
