package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// A scraper that gave up is no error of this node; all else is.
func TestScrapeThatWasGivenUpIsNoError(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write: %w", context.Canceled), "DEBUG"},
		{context.DeadlineExceeded, "DEBUG"},
		{errors.New("two metrics are the same"), "ERROR"},
	} {
		var text strings.Builder
		l := scrapeLog{slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		l.Println("error gathering metrics:", tc.err)
		if got := text.String(); !strings.Contains(got, "level="+tc.want) || !strings.Contains(got, tc.err.Error()) {
			t.Errorf("%v is told as %s, want it as %s", tc.err, got, tc.want)
		}
	}
}
