package harness

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// Network is a set of hosts in network namespaces on one bridge, without a way out. The test process is a host of its own
// (number 0), so that clients can be cut off, too.
//
//	test process                 hub namespace: bridge
//	  veth 10.x.y.100 ────────────┬────────┬────────┐
//	                            host 1   host 2   host 3
//
// A cut is one-way: packets from one host to another are sent to an Ethernet address that nobody has, so they are lost
// without a word, those of established connections too. It needs no packet filter on the machine.
type Network struct {
	t       testing.TB
	prefix  string // of the names of namespaces and devices
	subnet  string // the first three numbers of every address
	count   int
	mu      sync.Mutex
	severed map[[2]int]bool // guarded by mu
}

// NewNetwork makes count hosts, numbered from 1.
func NewNetwork(t testing.TB, count int) *Network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("a network of namespaces needs root")
	}
	n := &Network{t: t, count: count, severed: map[[2]int]bool{}}
	n.prefix, n.subnet = n.freeNames()
	n.undertaker()
	n.must("ip netns add " + n.hub())
	n.must("ip -n " + n.hub() + " link add bridge type bridge forward_delay 0")
	n.must("ip -n " + n.hub() + " link set bridge up")
	n.attach(0)
	for host := 1; host <= count; host++ {
		n.must("ip netns add " + n.namespace(host))
		n.attach(host)
	}
	for from := range count + 1 {
		for to := range count + 1 {
			if from != to {
				n.neighbour(from, to, n.ethernet(to))
			}
		}
	}
	return n
}

// freeNames finds a subnet that no other test process uses; its namespace is the claim.
func (n *Network) freeNames() (prefix, subnet string) {
	n.t.Helper()
	for try := range 250 {
		number := (os.Getpid() + try*7) % 250
		prefix = fmt.Sprintf("mr%d", number)
		if exec.Command("ip", "netns", "add", prefix+"c").Run() == nil {
			return prefix, fmt.Sprintf("10.201.%d", number)
		}
	}
	n.t.Fatal("no network is free: are there namespaces left over? see `ip netns`")
	return "", ""
}

// undertaker removes every namespace at the end of the test, and also when the test process dies: a shell waits on a pipe
// whose other end is held here. The devices go with the namespaces.
func (n *Network) undertaker() {
	n.t.Helper()
	var script strings.Builder
	script.WriteString("cat >/dev/null; ip link del " + n.device(0) + " 2>/dev/null; ip netns del " + n.hub() + " 2>/dev/null;")
	for host := 1; host <= n.count; host++ {
		script.WriteString(" ip netns del " + n.namespace(host) + " 2>/dev/null;")
	}
	script.WriteString(" ip netns del " + n.prefix + "c")
	cmd := exec.Command("sh", "-c", script.String())
	cmd.SysProcAttr = apart()
	var hold io.WriteCloser
	hold, err := cmd.StdinPipe()
	if err = errors.Join(err, cmd.Start()); err != nil {
		n.t.Fatalf("start what removes the network: %v", err)
	}
	n.t.Cleanup(func() {
		hold.Close()
		_ = cmd.Wait() // some of it may never have been made
	})
}

func (n *Network) attach(host int) {
	n.t.Helper()
	outer, inner := fmt.Sprintf("port%d", host), n.device(host)
	n.must(fmt.Sprintf("ip link add %s address %s type veth peer name %s netns %s", inner, n.ethernet(host), outer, n.hub()))
	n.must(fmt.Sprintf("ip -n %s link set %s master bridge up", n.hub(), outer))
	if host != 0 {
		n.must(fmt.Sprintf("ip link set %s netns %s", inner, n.namespace(host)))
		n.must(n.within(host) + " link set lo up")
	}
	n.must(fmt.Sprintf("%s addr add %s/24 dev %s", n.within(host), n.Host(host), inner))
	n.must(fmt.Sprintf("%s link set %s up", n.within(host), inner))
}

func (n *Network) hub() string               { return n.prefix + "hub" }
func (n *Network) namespace(host int) string { return fmt.Sprintf("%sn%d", n.prefix, host) }
func (n *Network) device(host int) string    { return fmt.Sprintf("%se%d", n.prefix, host) }
func (n *Network) ethernet(host int) string  { return fmt.Sprintf("02:00:00:00:00:%02x", host+1) }

// within is the ip program in a host's namespace.
func (n *Network) within(host int) string {
	if host == 0 {
		return "ip"
	}
	return "ip -n " + n.namespace(host)
}

// Host is the address of a host.
func (n *Network) Host(host int) string { return fmt.Sprintf("%s.%d", n.subnet, 100+host) }

// Prefix is the program that runs another on a host.
func (n *Network) Prefix(host int) []string {
	return []string{"ip", "netns", "exec", n.namespace(host)}
}

func (n *Network) must(line string) {
	n.t.Helper()
	words := strings.Fields(line)
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		n.t.Fatalf("%s: %v\n%s", line, err, out)
	}
}

// nobody is an Ethernet address that no host has.
const nobody = "02:00:00:00:ff:ff"

func (n *Network) neighbour(from, to int, ethernet string) {
	n.t.Helper()
	n.must(fmt.Sprintf("%s neigh replace %s lladdr %s nud permanent dev %s", n.within(from), n.Host(to), ethernet, n.device(from)))
}

// Cut loses what one host sends to another, until Heal.
func (n *Network) Cut(from, to int) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if from != to && !n.severed[[2]int{from, to}] {
		n.severed[[2]int{from, to}] = true
		n.neighbour(from, to, nobody)
	}
}

// Sever cuts both ways.
func (n *Network) Sever(a, b int) { n.t.Helper(); n.Cut(a, b); n.Cut(b, a) }

// Split cuts every host of one side from every host of the other.
func (n *Network) Split(side, other []int) {
	n.t.Helper()
	for _, a := range side {
		for _, b := range other {
			n.Sever(a, b)
		}
	}
}

// Heal mends every cut.
func (n *Network) Heal() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for pair := range n.severed {
		n.neighbour(pair[0], pair[1], n.ethernet(pair[1]))
		delete(n.severed, pair)
	}
}
