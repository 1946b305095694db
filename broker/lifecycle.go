package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace-io/millrace/broker/api"
	"github.com/millrace-io/millrace/broker/replica"
)

// The pauses of the lifecycle where nothing could wake it.
const (
	minLifecyclePause = 5 * time.Millisecond
	maxLifecyclePause = 250 * time.Millisecond
	// While the broker wants to stop, it asks so often whether it may.
	shutdownPause = 10 * time.Millisecond
	// A broker that wants to stop does not wait longer than this for a controller that does not answer.
	shutdownPatience = time.Second
)

// lifecycleConfig is what a lifecycle needs of the rest of the node.
type lifecycleConfig struct {
	NodeID int32
	// Register makes the request that tells the controller of this start of the process.
	Register func() *kmsg.BrokerRegistrationRequest
	// Registered is called once this node has handled the metadata of its registration. It must not wait.
	Registered func()
	// Accounted reports whether the controller knows what this start of the broker does not have of what it had before. Until
	// then the broker wants to stay fenced.
	Accounted func() bool
	// Outdated reports that this node's view of the metadata is old and stays so: its disk takes no more of them. Then the broker
	// wants to be fenced, because it does not hear what it is to do.
	Outdated func() bool
	// FencingChanged is called after the controller has said that it has. It must not wait.
	FencingChanged func()
	// Offline returns the ids of log directories that failed or are not there, once the controller knows what lay in them.
	Offline func() [][16]byte
	// MetadataOffset is the index up to which this node has handled the metadata log; Await waits for one.
	MetadataOffset func() int64
	Await          func(ctx context.Context, index uint64) error
	// OwnEpoch is the epoch of whatever registration the image has under this broker's id; -1 for none.
	OwnEpoch func() int64
	// Controller is the leader of the quorum, and a channel that is closed when it changes.
	Controller func() (id int32, known bool, changed <-chan struct{})
	// Send asks another broker, or this one.
	Send     func(ctx context.Context, nodeID int32, request kmsg.Request) (kmsg.Response, error)
	Interval func() time.Duration // broker.heartbeat.interval.ms
	Timeout  func() time.Duration // broker.session.timeout.ms
	Logger   *slog.Logger
}

// lifecycle keeps this broker registered at the controller and its session there alive. Kafka: BrokerLifecycleManager.
//
//	register -> fenced -> (image holds the registration, and what is lost here) heartbeat -> unfenced -> heartbeats ... -> wants to stop -> may stop
//
// A broker whose controller cannot be reached goes on as it is: whether it is fenced is for others to say, and it hears of
// it by the metadata log.
type lifecycle struct {
	cfg       lifecycleConfig
	epoch     atomic.Int64 // of the registration; -1: none
	fenced    atomic.Bool  // as the last heartbeat was answered
	held      atomic.Pointer[heldSession]
	unfenced  chan struct{} // closed when the broker is unfenced for the first time
	wanted    chan struct{} // closed when it is to stop
	granted   chan struct{} // closed when it may
	wantOnce  sync.Once
	poked     chan struct{} // a token when there is something to tell the controller at once
	ctx       context.Context
	cancel    context.CancelFunc
	finished  chan struct{}
	lastFault string // owned by run: what was logged last
	lastHeard time.Time
	pause     time.Duration // owned by run: before the next attempt
}

func newLifecycle(cfg lifecycleConfig) *lifecycle {
	l := &lifecycle{
		cfg: cfg, unfenced: make(chan struct{}), wanted: make(chan struct{}), granted: make(chan struct{}),
		poked: make(chan struct{}, 1), finished: make(chan struct{}),
	}
	l.epoch.Store(-1)
	l.fenced.Store(true)
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// Epoch is the epoch of this broker's registration, -1 before there is one.
func (l *lifecycle) Epoch() int64 { return l.epoch.Load() }

// Fenced reports what the controller said last.
func (l *lifecycle) Fenced() bool { return l.fenced.Load() }

// heldSession is what a heartbeat that was answered well says: the session lasts until timeout after sent, for who knows the
// metadata up to an index.
type heldSession struct {
	sent    time.Time
	timeout time.Duration
	vouched uint64
	earlier *heldSession // while the metadata are not known that far; it has none
}

// Held reports that no controller can have ended this broker's session for want of heartbeats without this broker knowing of
// it: each counts from when it received one, which was after it was sent, and what was decided before lies in the metadata
// that this node has handled. A broker whose session had ended is unfenced by its first heartbeat, and hears of what was
// decided meanwhile later.
func (l *lifecycle) Held() bool {
	for h := l.held.Load(); h != nil; h = h.earlier {
		if l.known(h) {
			return replica.Elapsed(h.sent, time.Now()) < h.timeout
		}
	}
	return false
}

func (l *lifecycle) known(h *heldSession) bool { return l.cfg.MetadataOffset() >= int64(h.vouched) }

// hold takes the answer to a heartbeat to account that was sent at a moment. One that fences ends what earlier ones said.
func (l *lifecycle) hold(answer *kmsg.BrokerHeartbeatResponse, sent time.Time, timeout time.Duration) {
	if answer.IsFenced {
		l.held.Store(nil)
		return
	}
	vouched, ok := api.VouchedIndex(answer)
	if !ok {
		return
	}
	earlier := l.held.Load()
	if earlier != nil && !l.known(earlier) {
		earlier = earlier.earlier
	} else if earlier != nil {
		earlier = &heldSession{sent: earlier.sent, timeout: earlier.timeout, vouched: earlier.vouched}
	}
	l.held.Store(&heldSession{sent: sent, timeout: timeout, vouched: vouched, earlier: earlier})
}

// Poke sends a heartbeat now, as when a log directory has failed.
func (l *lifecycle) Poke() {
	select {
	case l.poked <- struct{}{}:
	default:
	}
}

// AwaitUnfenced returns once the broker may serve.
func (l *lifecycle) AwaitUnfenced(ctx context.Context) error {
	select {
	case <-l.unfenced:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop asks the controller to move this broker's leaderships away, and waits until that is done or ctx ends; then the
// lifecycle is over. It may be called when run never was.
func (l *lifecycle) Stop(ctx context.Context, running bool) (granted bool) {
	l.wantOnce.Do(func() { close(l.wanted) })
	if running {
		select {
		case <-l.granted:
			granted = true
		case <-l.finished:
		case <-ctx.Done():
		}
	}
	l.cancel()
	if running {
		<-l.finished
	}
	return granted
}

// run registers and heartbeats until Stop.
func (l *lifecycle) run() {
	defer close(l.finished)
	l.pause, l.lastHeard = minLifecyclePause, time.Now()
	for l.ctx.Err() == nil && !l.givesUp() {
		id, known, changed := l.cfg.Controller()
		if !known {
			l.wait(changed, maxLifecyclePause)
			continue
		}
		wait, err := l.step(id, changed)
		if err == nil {
			l.lastFault, l.lastHeard = "", time.Now()
			l.wait(changed, wait)
		} else if l.ctx.Err() == nil {
			l.tell(err)
			l.wait(changed, l.longerPause())
		}
	}
}

// longerPause returns how long to wait before the next attempt, each time twice as long.
func (l *lifecycle) longerPause() time.Duration {
	now := l.pause
	l.pause = min(2*l.pause, maxLifecyclePause)
	return now
}

// givesUp reports that the broker wants to stop and nobody is there to say that it may. A node that never registered has
// nothing to wait for.
func (l *lifecycle) givesUp() bool {
	return l.stopping() && (l.epoch.Load() < 0 || time.Since(l.lastHeard) > l.cfg.Interval()+shutdownPatience)
}

// step sends what is due to the controller and says how long it may stay silent.
func (l *lifecycle) step(controller int32, changed <-chan struct{}) (time.Duration, error) {
	if l.epoch.Load() < 0 {
		if err := l.register(controller, changed); err != nil {
			return 0, err
		}
	}
	return l.heartbeat(controller, changed)
}

// ask sends a request and waits for the answer until a session could have ended or another controller is there.
func (l *lifecycle) ask(controller int32, changed <-chan struct{}, request kmsg.Request) (kmsg.Response, error) {
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Timeout())
	defer cancel()
	answered := make(chan struct{})
	watcher := make(chan struct{})
	go func() { // ends before ask does
		defer close(watcher)
		select {
		case <-changed:
			cancel()
		case <-answered:
		}
	}()
	response, err := l.cfg.Send(ctx, controller, request)
	close(answered)
	<-watcher
	return response, err
}

func (l *lifecycle) register(controller int32, changed <-chan struct{}) error {
	response, err := l.ask(controller, changed, l.cfg.Register())
	if err != nil {
		return fmt.Errorf("register at broker %d: %w", controller, err)
	}
	answer, ok := response.(*kmsg.BrokerRegistrationResponse)
	if !ok {
		return fmt.Errorf("register at broker %d: answered by a %T", controller, response)
	}
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return fmt.Errorf("register at broker %d: %w", controller, err)
	}
	// What the heartbeat states must be true: that this node knows of its own registration.
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Timeout())
	defer cancel()
	if err := l.cfg.Await(ctx, uint64(answer.BrokerEpoch)); err != nil {
		return fmt.Errorf("wait for the metadata of the registration: %w", err)
	}
	l.epoch.Store(answer.BrokerEpoch)
	l.cfg.Registered()
	l.cfg.Logger.Info("registered", "controller", controller, "broker.epoch", answer.BrokerEpoch)
	return nil
}

func (l *lifecycle) heartbeat(controller int32, changed <-chan struct{}) (time.Duration, error) {
	request := kmsg.NewPtrBrokerHeartbeatRequest()
	request.BrokerID, request.BrokerEpoch = l.cfg.NodeID, l.epoch.Load()
	request.CurrentMetadataOffset, request.OfflineLogDirs = l.cfg.MetadataOffset(), l.cfg.Offline()
	request.WantShutdown, request.WantFence = l.stopping(), l.fenced.Load() && !l.cfg.Accounted() || l.cfg.Outdated()
	sent, timeout := time.Now(), l.cfg.Timeout()
	response, err := l.ask(controller, changed, request)
	if err != nil {
		return 0, fmt.Errorf("heartbeat to broker %d: %w", controller, err)
	}
	answer, ok := response.(*kmsg.BrokerHeartbeatResponse)
	if !ok {
		return 0, fmt.Errorf("heartbeat to broker %d: answered by a %T", controller, response)
	}
	switch err := kerr.ErrorForCode(answer.ErrorCode); {
	case errors.Is(err, kerr.StaleBrokerEpoch), errors.Is(err, kerr.BrokerIDNotRegistered):
		return 0, fmt.Errorf("heartbeat to broker %d: %w", controller, l.stale(err))
	case err != nil:
		return 0, fmt.Errorf("heartbeat to broker %d: %w", controller, err)
	}
	l.hold(answer, sent, timeout)
	return l.answered(answer), nil
}

// stale follows the word that this broker's registration is not what it was. One that was removed stays so until its process
// is started anew, as in Kafka; where another start has registered under its id, it tries once more to be the one.
func (l *lifecycle) stale(refusal error) error {
	l.fenced.Store(true)
	l.held.Store(nil)
	switch l.cfg.OwnEpoch() {
	case -1:
		return fmt.Errorf("this broker was removed from the cluster; stop it, or start it anew to have it back: %w", refusal)
	case l.epoch.Load():
		return refusal // the controller knows more than this image
	}
	l.epoch.Store(-1)
	return fmt.Errorf("registering anew: %w", refusal)
}

// answered follows the controller's answer and says when the next heartbeat is due.
func (l *lifecycle) answered(answer *kmsg.BrokerHeartbeatResponse) time.Duration {
	if was := l.fenced.Swap(answer.IsFenced); was != answer.IsFenced {
		l.cfg.Logger.Info("fencing changed", "fenced", answer.IsFenced)
		l.cfg.FencingChanged()
	}
	switch {
	case l.stopping() && answer.ShouldShutdown:
		close(l.granted)
		l.cancel()
		return 0
	case l.stopping():
		return shutdownPause
	case answer.IsFenced:
		return l.longerPause() // it is about to be unfenced, or has more of the log to read
	}
	l.pause = minLifecyclePause
	select {
	case <-l.unfenced:
	default:
		close(l.unfenced)
	}
	return l.cfg.Interval()
}

func (l *lifecycle) stopping() bool {
	select {
	case <-l.wanted:
		return true
	default:
		return false
	}
}

// wait returns when there is something to do, after d at the latest.
func (l *lifecycle) wait(changed <-chan struct{}, d time.Duration) {
	wanted := l.wanted
	if l.stopping() {
		wanted = nil // known already
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-changed:
	case <-wanted:
	case <-l.poked:
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// tell logs a fault that is not the one logged last. A controller that was lost a moment ago is no fault: another is elected.
func (l *lifecycle) tell(err error) {
	level := slog.LevelWarn
	if time.Since(l.lastHeard) < l.cfg.Timeout()/2 {
		level = slog.LevelDebug
	} else if l.lastFault == err.Error() {
		return
	} else {
		l.lastFault = err.Error()
	}
	l.cfg.Logger.Log(l.ctx, level, "the controller does not know that this broker is alive, trying again", "error", oneLine(err))
}
