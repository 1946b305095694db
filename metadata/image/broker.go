package image

// Broker is the registration of a broker. It is immutable.
type Broker struct {
	ID          int32
	Incarnation [16]byte // made anew by each start of the broker's process
	Epoch       int64    // the index of the entry that registered it; given by the controller
	Fenced      bool     // not to lead, nor to be shown to clients
	// InControlledShutdown: it is about to stop and serves until its leaderships have moved; not to lead, nor in any ISR.
	InControlledShutdown bool
	Rack                 string
	Listeners            []Listener
	Directories          [][16]byte // ids of its log directories
}

// Active reports whether the broker may lead and be in an ISR. There need not be a broker.
func (b *Broker) Active() bool { return b != nil && !b.Fenced && !b.InControlledShutdown }

// Listener is one address of a broker.
type Listener struct {
	Name             string
	Host             string
	Port             int32
	SecurityProtocol string // Kafka's name, e.g. PLAINTEXT
}

// Listener returns the broker's address of that listener's name.
func (b *Broker) Listener(name string) (Listener, bool) {
	for _, l := range b.Listeners {
		if l.Name == name {
			return l, true
		}
	}
	return Listener{}, false
}
