package api

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/millrace-io/millrace/metadata/image"
)

// Endpoint returns the address by which the caller reaches a node: for this node the address configured for the
// caller's listener, or else the one that the caller dialled; for any other what it registered under the listener's
// name. The port is 0 where the node has no such listener.
func (s *Services) Endpoint(c *Call, nodeID int32) (host string, port int32) {
	if nodeID != s.NodeID {
		return registeredEndpoint(s.Metadata.Image().Broker(nodeID), c.Listener)
	}
	if address, ok := s.Advertised[c.Listener]; ok {
		return splitAddress(address)
	}
	if c.Local != nil {
		return splitAddress(c.Local.String())
	}
	return registeredEndpoint(s.Metadata.Image().Broker(nodeID), c.Listener)
}

func registeredEndpoint(b *image.Broker, listener string) (host string, port int32) {
	if b == nil {
		return "", 0
	}
	for _, l := range b.Listeners {
		if l.Name == listener {
			return l.Host, l.Port
		}
	}
	return "", 0
}

// splitAddress returns 0 as the port of what is no address with a port.
func splitAddress(address string) (host string, port int32) {
	host, number, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0
	}
	host, _, _ = strings.Cut(host, "%") // the zone of an IPv6 address means nothing to a client
	n, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return "", 0
	}
	return host, int32(n)
}

// ParseAdvertisedListeners reads Kafka's advertised.listeners, NAME://host:port separated by commas, into an address for
// each listener.
func ParseAdvertisedListeners(value string) (map[string]string, error) {
	listeners := map[string]string{}
	for entry := range strings.SplitSeq(value, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		name, address, found := strings.Cut(entry, "://")
		name = strings.ToUpper(name)
		host, port := splitAddress(address)
		if !found || name == "" || host == "" || port == 0 {
			return nil, fmt.Errorf("advertised.listeners: %q is not NAME://host:port", entry)
		}
		if _, twice := listeners[name]; twice {
			return nil, fmt.Errorf("advertised.listeners: listener %s is named twice", name)
		}
		listeners[name] = address
	}
	return listeners, nil
}

// node is a broker as answers list it.
type node struct {
	*image.Broker
	host string
	port int32
}

// nodes returns the brokers that the caller can reach by its listener, by id; fenced ones only when asked for.
func (s *Services) nodes(c *Call, i *image.Image, fenced bool) []node {
	var reachable []node
	for b := range i.Brokers() {
		if b.Fenced && !fenced {
			continue
		}
		if host, port := s.Endpoint(c, b.ID); port != 0 {
			reachable = append(reachable, node{b, host, port})
		}
	}
	return reachable
}

func (n node) rack() *string {
	if n.Rack == "" {
		return nil
	}
	return &n.Rack
}

// controllerID is the broker that clients send changes to: the quorum's leader where that is a broker they can reach,
// or else any that forwards to it; -1 when there is none.
func (s *Services) controllerID(reachable []node) int32 {
	leader, known := s.Metadata.Leader()
	for _, n := range reachable {
		if known && n.ID == leader {
			return leader
		}
	}
	if len(reachable) > 0 {
		return reachable[0].ID
	}
	return -1
}

// confirmed reports whether an answer that names these leaders or coordinators may go out; false says that it has to be made
// again, since one of them seemed gone and that has been decided. A client whose leader has just died asks who leads now, and
// one that were told of the dead leader would ask again only after its metadata.min.age (franz-go: 5 s).
func (s *Services) confirmed(c *Call, leaders []int32) bool {
	return s.Departures == nil || s.Departures.Confirm(c.Context, leaders)
}
