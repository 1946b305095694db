package broker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// Cluster says how a node finds the others of its cluster. The zero value: the node is alone and opens no port for them.
type Cluster struct {
	Address    string // host:port of the inter-broker listener; "": alone
	Advertised string // host:port told to the other nodes; "": Address

	// InitialVoters are the first voters of a new cluster, the same on every node; Join is addresses of a cluster that is
	// there already. Exactly one of them is given; once the node is a member, neither is looked at again.
	InitialVoters []Voter
	Join          []string

	// Token is shared by all nodes of the cluster; TokenFile holds it instead, so that it need not be in the configuration.
	Token, TokenFile string
}

// Voter is a member of the first quorum: where the node with this id listens for other brokers.
type Voter struct {
	NodeID  int32
	Address string
}

// maxInitialVoters bounds the quorum: more voters make every change of metadata slower and nothing safer.
const maxInitialVoters = 5

// Alone reports that this node has no company and none may come.
func (c *Cluster) Alone() bool { return c.Address == "" }

// PeerAddress is the address that other nodes dial.
func (c *Cluster) PeerAddress() string {
	if c.Advertised != "" {
		return c.Advertised
	}
	return c.Address
}

// addStatic adds what Kafka's settings would say of a cluster.
func (c *Cluster) addStatic(static map[string]string) {
	static["listeners"] += "," + internalListener + "://" + c.Address
	static["inter.broker.listener.name"] = internalListener
	var voters []string
	for _, v := range c.InitialVoters {
		voters = append(voters, fmt.Sprintf("%d@%s", v.NodeID, v.Address))
	}
	if len(voters) > 0 {
		static["controller.quorum.voters"] = strings.Join(voters, ",")
	}
}

// ParseVoters reads 1@host:port,2@host:port.
func ParseVoters(text string) ([]Voter, error) {
	var voters []Voter
	for _, item := range ParseList(text) {
		id, address, ok := strings.Cut(item, "@")
		n, err := strconv.ParseInt(id, 10, 32)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not ID@HOST:PORT", item)
		}
		voters = append(voters, Voter{NodeID: int32(n), Address: address})
	}
	return voters, nil
}

// ParseList reads comma-separated items; empty ones do not count.
func ParseList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// validate reports every fault of the cluster settings of the node with this id.
func (c *Cluster) validate(nodeID int32, insecure bool) error {
	if c.Alone() {
		return c.validateAlone()
	}
	faults := []error{c.validateAddresses(insecure), c.validateVoters(nodeID), c.validateJoin()}
	if c.Token != "" && c.TokenFile != "" {
		faults = append(faults, errors.New("cluster.token: set either cluster.token or cluster.token_file, not both"))
	}
	return errors.Join(faults...)
}

func (c *Cluster) validateAlone() error {
	var faults []error
	for _, given := range []struct {
		setting string
		is      bool
	}{
		{"cluster.advertised", c.Advertised != ""}, {"cluster.initial_voters", len(c.InitialVoters) > 0}, {"cluster.join", len(c.Join) > 0},
		{"cluster.token", c.Token != ""}, {"cluster.token_file", c.TokenFile != ""},
	} {
		if given.is {
			faults = append(faults, fmt.Errorf("%s: needs cluster.address, where this node listens for other brokers", given.setting))
		}
	}
	return errors.Join(faults...)
}

func (c *Cluster) validateAddresses(insecure bool) error {
	if err := checkAddress("cluster.address", c.Address, false); err != nil {
		return err
	}
	faults := []error{checkAddress("cluster.advertised", c.Advertised, true)}
	if c.Advertised == "" {
		if host, port, _ := net.SplitHostPort(c.Address); isAnyHost(host) || port == "0" {
			faults = append(faults, fmt.Errorf("cluster.address: other nodes cannot dial %q: name a host and a port, or set cluster.advertised", c.Address))
		}
	}
	if c.Token == "" && c.TokenFile == "" && !insecure && !isLoopback(c.Address) {
		faults = append(faults, fmt.Errorf("cluster.address: %q can be reached from other machines: set cluster.token or cluster.token_file, the same on every node, use a loopback address such as 127.0.0.1, or set security.insecure_listeners to true on a network that you trust", c.Address))
	}
	return errors.Join(faults...)
}

func (c *Cluster) validateVoters(nodeID int32) error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("cluster.initial_voters: "+format, args...))
	}
	switch n := len(c.InitialVoters); {
	case n == 0 && len(c.Join) == 0:
		fault("name the first voters (1@host:port,2@host:port,3@host:port), or set cluster.join to addresses of a cluster that is there")
	case n > 0 && len(c.Join) > 0:
		fault("set either cluster.initial_voters or cluster.join, not both")
	case n > 0 && n%2 == 0 || n > maxInitialVoters:
		fault("%d voters: use 1, 3 or 5 (an even number survives no more failures than one less)", n)
	}
	ids, addresses := map[int32]bool{}, map[string]bool{}
	for _, v := range c.InitialVoters {
		if v.NodeID < 1 {
			fault("%d is not a node id, it must be 1 or greater", v.NodeID)
		}
		if ids[v.NodeID] {
			fault("node %d is named twice", v.NodeID)
		}
		if addresses[v.Address] {
			fault("%s is named twice", v.Address)
		}
		ids[v.NodeID], addresses[v.Address] = true, true
		if err := checkDialable("cluster.initial_voters", v.Address); err != nil {
			faults = append(faults, err)
		} else if v.NodeID == nodeID && v.Address != c.PeerAddress() {
			fault("node %d is this node, whose address is %s, not %s", v.NodeID, c.PeerAddress(), v.Address)
		} else if v.NodeID != nodeID && v.Address == c.PeerAddress() {
			fault("%s is this node's address, and its node.id is %d, not %d", v.Address, nodeID, v.NodeID)
		}
	}
	return errors.Join(faults...)
}

func (c *Cluster) validateJoin() error {
	var faults []error
	others := 0
	for _, address := range c.Join {
		if err := checkDialable("cluster.join", address); err != nil {
			faults = append(faults, err)
		}
		if address != c.PeerAddress() {
			others++
		}
	}
	if len(c.Join) > 0 && others == 0 {
		faults = append(faults, errors.New("cluster.join: names only this node itself"))
	}
	return errors.Join(faults...)
}

// checkDialable reports an address that nobody could dial.
func checkDialable(setting, address string) error {
	if err := checkAddress(setting, address, false); err != nil {
		return err
	}
	if host, port, _ := net.SplitHostPort(address); isAnyHost(host) || port == "0" {
		return fmt.Errorf("%s: %q must name a host and a port that other nodes can dial", setting, address)
	}
	return nil
}

// isAnyHost tells the hosts that stand for every address of a machine.
func isAnyHost(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || ip != nil && ip.IsUnspecified()
}

// maxTokenBytes bounds what is read of a token file.
const maxTokenBytes = 4 << 10

// token returns the shared secret, from the file if it is there.
func (c *Cluster) token() (string, error) {
	if c.TokenFile == "" {
		return c.Token, nil
	}
	f, err := os.Open(c.TokenFile)
	if err != nil {
		return "", fmt.Errorf("cluster.token_file: %w", err)
	}
	defer f.Close()
	text := make([]byte, maxTokenBytes+1)
	n, err := f.Read(text)
	token := strings.TrimSpace(string(text[:max(n, 0)]))
	switch {
	case n > maxTokenBytes:
		return "", fmt.Errorf("cluster.token_file: %s holds more than %d bytes", c.TokenFile, maxTokenBytes)
	case token == "":
		return "", fmt.Errorf("cluster.token_file: %s holds no token", c.TokenFile)
	case err != nil:
		return "", fmt.Errorf("cluster.token_file: %w", err)
	}
	return token, nil
}
