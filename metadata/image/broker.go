package image

// Broker is the registration of a broker. It is immutable.
type Broker struct {
	ID          int32
	Incarnation [16]byte // made anew by each start of the broker's process
	Epoch       int64    // the index of the entry that registered it; given by the controller
	Fenced      bool     // not to lead, nor to be shown to clients
	Rack        string
	Listeners   []Listener
	Directories [][16]byte // ids of its log directories
}

// Listener is one address of a broker.
type Listener struct {
	Name             string
	Host             string
	Port             int32
	SecurityProtocol string // Kafka's name, e.g. PLAINTEXT
}
