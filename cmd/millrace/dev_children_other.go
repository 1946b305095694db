//go:build !linux

package main

import "syscall"

// endWithParent: this system cannot tie a child to its parent; after kill -9 of the parent the nodes go on.
func endWithParent() *syscall.SysProcAttr { return nil }
