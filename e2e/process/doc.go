// Package process looks at the node as a process: what it prints, how it ends, what it refuses to start on, and that the
// same data comes back after a clean stop, after kill -9 and under another verb.
package process
