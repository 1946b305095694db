package group

import (
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// news tells heartbeats whose answers are held back that there is something for them. It belongs to a group in memory;
// heartbeats register from the goroutines of their connections, the shard's loop tells them.
type news struct {
	mu      sync.Mutex
	version int         // guarded by mu: how often something was told
	said    *kerr.Error // guarded by mu: what was told last; nil: to ask again
	waiting map[*Watch]bool
}

// announcement is news that is told when the step that brought it is settled.
type announcement struct {
	of   *news
	said *kerr.Error
}

// Watch is one heartbeat that waits for news of its group. The answer of the heartbeat may be given at any time.
type Watch struct {
	// AtMost is how long the answer may be held back so that the member's session cannot end meanwhile; 0: for as long as
	// the caller likes.
	AtMost time.Duration

	of      *news
	version int // of the news that the answer knows
	notify  func(here bool)
}

// Await has notify called once, without the time for much, when there is news. It reports false when there is some
// already.
func (w *Watch) Await(notify func(here bool)) bool {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if w.of.version != w.version {
		return false
	}
	w.notify = notify
	if w.of.waiting == nil {
		w.of.waiting = make(map[*Watch]bool)
	}
	w.of.waiting[w] = true
	return true
}

// Told reports whether there is news, and what the member is to be told; nil: nothing but to ask again.
func (w *Watch) Told() (said *kerr.Error, told bool) {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if w.of.version == w.version {
		return nil, false
	}
	return w.of.said, true
}

// Forget ends the wait.
func (w *Watch) Forget() {
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	delete(w.of.waiting, w)
}

func (n *news) watch() *Watch {
	n.mu.Lock()
	defer n.mu.Unlock()
	return &Watch{of: n, version: n.version}
}

func (n *news) tell(said *kerr.Error) {
	n.mu.Lock()
	n.version++
	n.said = said
	waiting := n.waiting
	n.waiting = nil
	n.mu.Unlock()
	for w := range waiting {
		w.notify(false)
	}
}

// heldHeartbeat is an answer without news for its member: it may be held back until there is some.
type heldHeartbeat struct {
	answer kmsg.Response
	watch  *Watch
}
