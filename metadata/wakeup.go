package metadata

import (
	"sync"

	"github.com/millrace-io/millrace/metadata/image"
)

// news is what changed in the metadata.
type news struct{ brokers, settings, topics bool }

// wakeup gathers news for one goroutine and wakes it.
type wakeup struct {
	token chan struct{} // there is news

	mu   sync.Mutex
	news news // guarded by mu
}

func newWakeup() *wakeup { return &wakeup{token: make(chan struct{}, 1)} }

// tell is a subscriber of changes.
func (w *wakeup) tell(d *image.Delta) {
	w.mu.Lock()
	w.news.brokers = w.news.brokers || len(d.Brokers) > 0
	w.news.settings = w.news.settings || len(d.Configs) > 0
	w.news.topics = w.news.topics || len(d.Topics) > 0
	w.mu.Unlock()
	select {
	case w.token <- struct{}{}:
	default:
	}
}

// take returns the news since the last call.
func (w *wakeup) take() news {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.news
	w.news = news{}
	return taken
}
