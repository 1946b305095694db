//go:build e2e

package chaos

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/millrace-io/millrace/e2e/harness"
)

// Bits flip in a sealed segment of a follower, and in one of the leader, while the brokers run and clients write. The
// scrubber finds them and makes the segments whole from a replica that is in sync, which nobody leaves meanwhile.
func TestFlippedBitsAreFoundAndMended(t *testing.T) {
	s := newScene(t, sceneConfig{
		settings: map[string]string{"millrace.scrub.interval.ms": "1000", "millrace.scrub.bytes.per.second": "500000000"},
		topic:    map[string]*string{"segment.bytes": kadm.StringPtr("1048576")},
		flow:     flowConfig{partitions: 3, sizeBytes: 3000},
		allowed:  []*regexp.Regexp{regexp.MustCompile(`bytes have changed on disk`)},
	})
	defer s.end()
	const partition = 1
	leader := s.leader(partition)
	follower := s.Node(leader.ID()%3 + 1)
	for _, n := range []*harness.Node{follower, leader} {
		names := awaitSealed(t, n, partition, 2)
		whole, err := os.ReadFile(names[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := flipByte(names[0], batchSize(t, names[0])+90); err != nil {
			t.Fatal(err)
		}
		harness.Await(t, fmt.Sprintf("node %d mends its segment", n.ID()), 90*time.Second, func(context.Context) error {
			now, err := os.ReadFile(names[0])
			if err == nil && !bytes.Equal(now, whole) {
				err = fmt.Errorf("the segment is not what it was")
			}
			return err
		})
		harness.Await(t, "it is told", 30*time.Second, func(context.Context) error {
			if !strings.Contains(n.Log(), "damaged segment was made whole") {
				return fmt.Errorf("the log does not say so")
			}
			return nil
		})
	}
	s.awaitInSync(30 * time.Second)
}

// awaitSealed waits for so many segments that a checkpoint has passed, and returns the data files.
func awaitSealed(t *testing.T, n *harness.Node, partition int32, count int) (names []string) {
	t.Helper()
	harness.Await(t, fmt.Sprintf("node %d has sealed segments", n.ID()), 90*time.Second, func(context.Context) (err error) {
		names, err = filepath.Glob(filepath.Join(n.DataDir(), "logs", fmt.Sprintf("chaos-%d", partition), "*.log"))
		slices.Sort(names)
		if err == nil && len(names) <= count {
			err = fmt.Errorf("%d segments", len(names))
		}
		return err
	})
	return names
}
