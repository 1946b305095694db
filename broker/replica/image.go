package replica

import (
	"github.com/millrace-io/millrace/broker/replica/isr"
	"github.com/millrace-io/millrace/metadata/image"
)

// view is the image of the last delta, and the look at its brokers.
type view struct {
	image   *image.Image
	brokers isr.Brokers
}

func (m *Manager) see(img *image.Image) {
	m.current.Store(&view{image: img, brokers: func(id int32) isr.Broker {
		if b := img.Broker(id); b != nil {
			return isr.Broker{Epoch: b.Epoch, Active: active(b)}
		}
		return isr.Broker{}
	}})
}

// brokers looks brokers up in the image of now.
func (m *Manager) brokers() isr.Brokers { return m.current.Load().brokers }

// active says that a broker may be in sync.
func active(b *image.Broker) bool { return !b.Fenced }

// recovering says that the leader was elected unclean and has not settled.
func recovering(*image.Partition) bool { return false }
