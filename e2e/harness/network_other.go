//go:build !linux

package harness

import "testing"

// Network is hosts in network namespaces, which only Linux has.
type Network struct{}

// NewNetwork fails the test.
func NewNetwork(t testing.TB, _ int) *Network {
	t.Helper()
	t.Fatal("a network of namespaces needs Linux")
	return nil
}

// Host is the address of a host.
func (n *Network) Host(int) string { return "" }

// Prefix is the program that runs another on a host.
func (n *Network) Prefix(int) []string { return nil }
