//go:build !unix

package api

// diskSpace is not known here.
func diskSpace(string) (totalBytes, usableBytes int64) { return -1, -1 }
