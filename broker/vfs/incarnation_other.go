//go:build unix && !linux

package vfs

// incarnation is not known here.
func incarnation(string) string { return "" }
