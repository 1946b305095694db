package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// notifySocket is the variable by which systemd, or `millrace dev --nodes`, says where a node reports that it is ready
// (sd_notify: one datagram of KEY=VALUE lines).
const notifySocket = "NOTIFY_SOCKET"

// notifyReady tells whoever started this process that it serves. Without such a one it does nothing.
func notifyReady() error {
	return notify("READY=1\nMAINPID=" + strconv.Itoa(os.Getpid()))
}

// notifyStopping tells whoever started this process that its end is wanted.
func notifyStopping() error { return notify("STOPPING=1") }

func notify(state string) error {
	path := os.Getenv(notifySocket)
	if path == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("notify %s: %w", path, err)
	}
	_, err = conn.Write([]byte(state))
	return errors.Join(err, conn.Close())
}

// readiness hears which processes are ready.
type readiness struct {
	dir  string // short, because a socket's path is
	conn *net.UnixConn
	pids chan int
}

func listenReadiness(capacity int) (*readiness, error) {
	dir, err := os.MkdirTemp("", "millrace-ready-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for a socket: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for nodes that are ready: %w", errors.Join(err, os.RemoveAll(dir)))
	}
	r := &readiness{dir: dir, conn: conn, pids: make(chan int, capacity)}
	go r.read() // ends with close
	return r, nil
}

func (r *readiness) environment() string { return notifySocket + "=" + filepath.Join(r.dir, "s") }

func (r *readiness) read() {
	defer close(r.pids)
	buffer := make([]byte, 4<<10)
	for {
		n, err := r.conn.Read(buffer)
		if err != nil {
			return
		}
		if pid, ok := readyPID(string(buffer[:n])); ok {
			select {
			case r.pids <- pid:
			default: // more of them than were started: not ours
			}
		}
	}
}

func readyPID(message string) (pid int, ok bool) {
	for line := range strings.SplitSeq(message, "\n") {
		switch key, value, _ := strings.Cut(line, "="); key {
		case "READY":
			ok = value == "1"
		case "MAINPID":
			pid, _ = strconv.Atoi(value)
		}
	}
	return pid, ok && pid > 0
}

func (r *readiness) close() {
	_ = r.conn.Close()
	for range r.pids {
	}
	_ = os.RemoveAll(r.dir)
}
