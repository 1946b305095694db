package raft

import (
	"context"
	"io"
	"log/slog"

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

func (s logSink) Accept(_ string, level hclog.Level, message string, args ...any) {
	to := slog.LevelDebug
	switch {
	case level >= hclog.Error:
		to = slog.LevelError
	case level == hclog.Warn:
		to = slog.LevelWarn
	}
	s.logger.Log(context.Background(), to, "metadata quorum: "+message, args...)
}
