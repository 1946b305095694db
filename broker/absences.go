package broker

import (
	"context"
	"sync"
	"time"

	"github.com/millrace-io/millrace/metadata/image"
)

const (
	// absenceRenewal is the pause between two rounds of questions.
	absenceRenewal = 250 * time.Millisecond
	// absenceValidity is how long an answer holds: a round takes half a second where nothing answers.
	absenceValidity = 2 * time.Second
)

// absences know which brokers have no process any more. It is asked of their addresses, again and again, while this broker's
// session is not held: a leader without a controller wants to know it of replicas that do not fetch (see
// replica.Partition.Standing).
type absences struct {
	nodeID  int32
	image   func() *image.Image
	held    func() bool
	refused func(ctx context.Context, address string) bool
	clock   func() time.Time

	mu   sync.Mutex
	gone map[int32]time.Time // guarded by mu: when a broker's address refused last
}

// Gone reports that nobody listened at a broker's address a moment ago. It does not wait.
func (a *absences) Gone(id int32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, found := a.gone[id]
	return found && a.clock().Sub(at) < absenceValidity
}

// run asks until ctx ends.
func (a *absences) run(ctx context.Context) {
	for sleepContext(ctx, absenceRenewal) {
		if !a.held() {
			a.look(ctx)
		}
	}
}

// look asks every other broker once.
func (a *absences) look(ctx context.Context) {
	var group sync.WaitGroup
	asked := a.clock()
	for b := range a.image().Brokers() {
		if address, ok := internalAddress(b); ok && b.ID != a.nodeID {
			group.Go(func() { a.note(b.ID, a.refused(ctx, address), asked) })
		}
	}
	group.Wait()
}

// note keeps the answer to a question of a moment: one that a pause of this process lies behind is old.
func (a *absences) note(id int32, refused bool, asked time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.gone, id)
	if refused {
		if a.gone == nil {
			a.gone = map[int32]time.Time{}
		}
		a.gone[id] = asked
	}
}
