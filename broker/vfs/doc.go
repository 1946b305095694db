// Package vfs is the port to files.
package vfs
