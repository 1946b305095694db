package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// devStopLimit is how long the nodes may take to stop together before they are killed.
const devStopLimit = 30 * time.Second

// devChildren are the processes of `millrace dev --nodes`. All of it belongs to one goroutine but the writers of the logs.
type devChildren struct {
	out     *sharedWriter
	ready   *readiness
	all     []*devChild
	ended   chan *devChild // one of each
	running int
}

// devChild is one node: a process of this same binary.
type devChild struct {
	node  devNode
	cmd   *exec.Cmd
	log   *prefixWriter
	err   error // how it ended; set before it is sent
	ended bool
}

func newDevChildren(stderr io.Writer, ready *readiness) *devChildren {
	return &devChildren{out: &sharedWriter{w: stderr}, ready: ready, ended: make(chan *devChild, cap(ready.pids))}
}

func (d *devChildren) start(node devNode) error {
	binary, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	c := &devChild{node: node, log: &prefixWriter{to: d.out, prefix: fmt.Sprintf("node-%d | ", node.ID)}}
	c.cmd = exec.Command(binary, "broker", "start", "-c", node.Config)
	c.cmd.Args[0] = "millrace"
	c.cmd.Env = append(os.Environ(), d.ready.environment())
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	c.cmd.SysProcAttr = endWithParent()
	if err := c.cmd.Start(); err != nil {
		return fmt.Errorf("start node %d: %w", node.ID, err)
	}
	c.node.PID = c.cmd.Process.Pid
	d.all = append(d.all, c)
	d.running++
	go func() { // ends with the process; the buffered channel holds one message of each
		c.err = c.cmd.Wait()
		c.log.flush()
		d.ended <- c
	}()
	return nil
}

func (d *devChildren) nodes() []devNode {
	nodes := make([]devNode, len(d.all))
	for i, c := range d.all {
		nodes[i] = c.node
	}
	return nodes
}

func (d *devChildren) addresses() []string {
	var list []string
	for _, c := range d.all {
		list = append(list, c.node.Kafka)
	}
	return list
}

func (d *devChildren) gone(c *devChild) {
	c.ended = true
	d.running--
}

// awaitReady returns once every node serves; an end of one of them before that is an error.
func (d *devChildren) awaitReady(ctx context.Context) error {
	waiting := map[int]bool{}
	for _, c := range d.all {
		waiting[c.node.PID] = true
	}
	for len(waiting) > 0 {
		select {
		case pid := <-d.ready.pids:
			delete(waiting, pid)
		case c := <-d.ended:
			d.gone(c)
			return fmt.Errorf("node %d did not start (%w): %s", c.node.ID, ending(c.err), c.log.lastLine())
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// watch tells of each node that ends; it returns when ctx ends or no node is left.
func (d *devChildren) watch(ctx context.Context) error {
	for d.running > 0 {
		select {
		case c := <-d.ended:
			d.gone(c)
			fmt.Fprintf(d.out, "node %d (process %d) has ended: %v; bring it back with: %s\n", c.node.ID, c.node.PID, ending(c.err), comeback(c.node))
		case <-ctx.Done():
			return nil
		}
	}
	return errors.New("every node has ended")
}

// ending says how a process ended that ended without an error.
func ending(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

// stop ends the nodes that still run, cleanly if they can, and returns when they have ended.
func (d *devChildren) stop() {
	for _, c := range d.all {
		if !c.ended {
			_ = c.cmd.Process.Signal(syscall.SIGTERM)
		}
	}
	limit := time.NewTimer(devStopLimit)
	defer limit.Stop()
	for d.running > 0 {
		select {
		case c := <-d.ended:
			d.gone(c)
		case <-limit.C:
			for _, c := range d.all {
				if !c.ended {
					fmt.Fprintf(d.out, "node %d did not stop within %v and is killed\n", c.node.ID, devStopLimit)
					_ = c.cmd.Process.Kill()
				}
			}
		}
	}
}

// sharedWriter lets several nodes write whole lines to one stream.
type sharedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (s *sharedWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

// maxLogLineBytes bounds what is kept of a line that does not end.
const maxLogLineBytes = 64 << 10

// prefixWriter writes each line with the name of its node before it. It belongs to the goroutine that copies.
type prefixWriter struct {
	to      io.Writer
	prefix  string
	partial []byte

	mu   sync.Mutex
	last string // guarded by mu: the line written last
}

// Write implements io.Writer. What the terminal does not take is lost, as it would be for a node of its own.
func (p *prefixWriter) Write(text []byte) (int, error) {
	p.partial = append(p.partial, text...)
	for {
		end := bytes.IndexByte(p.partial, '\n')
		if end < 0 && len(p.partial) < maxLogLineBytes {
			return len(text), nil
		}
		if end < 0 {
			end = len(p.partial)
		}
		p.line(p.partial[:end])
		p.partial = append(p.partial[:0], p.partial[min(end+1, len(p.partial)):]...)
	}
}

func (p *prefixWriter) flush() {
	if len(p.partial) > 0 {
		p.line(p.partial)
		p.partial = nil
	}
}

func (p *prefixWriter) line(text []byte) {
	_, _ = p.to.Write(fmt.Appendf(nil, "%s%s\n", p.prefix, text))
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(bytes.TrimSpace(text)) > 0 {
		p.last = string(text)
	}
}

func (p *prefixWriter) lastLine() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}
