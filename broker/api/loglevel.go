package api

import (
	"fmt"
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
)

// rootLogger is the one logger that BROKER_LOGGER resources have.
const rootLogger = "root"

// levelName is the name that log4j, and so Kafka's tools, have for a level.
func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelDebug:
		return "TRACE"
	case level < slog.LevelInfo:
		return "DEBUG"
	case level < slog.LevelWarn:
		return "INFO"
	case level < slog.LevelError:
		return "WARN"
	case level == slog.LevelError:
		return "ERROR"
	}
	return "FATAL"
}

func levelOf(name string) (level slog.Level, known bool) {
	switch name {
	case "TRACE":
		return slog.LevelDebug - 4, true
	case "DEBUG":
		return slog.LevelDebug, true
	case "INFO":
		return slog.LevelInfo, true
	case "WARN":
		return slog.LevelWarn, true
	case "ERROR":
		return slog.LevelError, true
	case "FATAL":
		return slog.LevelError + 4, true
	}
	return 0, false
}

// alterLogger changes the level of the root logger, as Kafka's RuntimeLoggerManager does: everything is checked before
// anything is changed.
func (s *Services) alterLogger(change configAlteration, validateOnly bool) error {
	id, err := strconv.ParseInt(change.name, 10, 32)
	if err != nil {
		return refuse(kerr.InvalidRequest, "Node id must be an integer, but it is: "+change.name)
	}
	if int32(id) != s.NodeID {
		return refuse(kerr.InvalidRequest, fmt.Sprintf("Unexpected node id. Expected %d, but received %s", s.NodeID, change.name))
	}
	for _, op := range change.ops {
		if err := s.loggerFault(op); err != nil {
			return err
		}
	}
	if validateOnly {
		return nil
	}
	for _, op := range change.ops {
		level, _ := levelOf(*op.Value)
		s.LogLevel.Set(level)
		s.Logger.Info("log level was changed", "level", *op.Value)
	}
	return nil
}
