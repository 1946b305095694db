package raft

import (
	"context"
	"io"
	"log/slog"
	"strings"

	hclog "github.com/hashicorp/go-hclog"
)

// newLogger makes the logger that hashicorp/raft asks for out of ours. What it calls information is of use only to whom
// debugs: elections are told by our own messages.
func newLogger(logger *slog.Logger) hclog.Logger {
	level := hclog.Warn
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		level = hclog.Debug
	}
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Level: level, Output: io.Discard})
	l.RegisterSink(logSink{logger})
	return l
}

type logSink struct{ logger *slog.Logger }

// noise is what hashicorp/raft repeats many times a second while a member is away or an election is under way. That a
// member does not answer, that it answers again, and who leads is told once, by our own messages.
var noise = [...]string{
	"failed to heartbeat to", "failed to appendEntries to", "failed to contact", "failed to make requestVote RPC",
	"failed to decode incoming command", "failed to flush response", "rejecting", "appendEntries rejected",
	"failed to get previous log", "Election timeout reached", "failed to accept connection", "peer has newer term",
	"no known peers", "not part of stable", "duplicate requestVote", "skipping application of old log",
}

func isNoise(message string) bool {
	for _, n := range noise {
		if strings.HasPrefix(message, n) {
			return true
		}
	}
	return false
}

// aboutSpace says that a message tells of a full disk, as hashicorp/raft does of each entry and each attempt. We tell of it once.
func aboutSpace(args []any) bool {
	for _, arg := range args {
		if err, ok := arg.(error); ok && isNoSpace(err) {
			return true
		}
	}
	return false
}

func (s logSink) Accept(_ string, level hclog.Level, message string, args ...any) {
	to := slog.LevelDebug
	switch {
	case isNoise(message), aboutSpace(args):
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn:
		to = slog.LevelWarn
	}
	s.logger.Log(context.Background(), to, "metadata quorum: "+message, args...)
}
