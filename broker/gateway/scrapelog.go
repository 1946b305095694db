package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
)

// scrapeLog logs what goes wrong in a scrape. Who scrapes and gives up is told of by each family of metrics that could not be sent
// any more: that is no fault of this node.
type scrapeLog struct{ logger *slog.Logger }

// Println implements promhttp.Logger.
func (l scrapeLog) Println(v ...any) {
	level := slog.LevelError
	for _, one := range v {
		if err, ok := one.(error); ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, http.ErrHandlerTimeout)) {
			level = slog.LevelDebug
		}
	}
	l.logger.Log(context.Background(), level, strings.TrimSpace(fmt.Sprintln(v...)))
}
