package log

import (
	"fmt"
	"testing"

	"github.com/millrace-io/millrace/broker/vfs"
)

// A checkpoint file full of nonsense must not keep a node from starting: everything in it can be found again.
func TestUnreadableCheckpointsAreMadeAnew(t *testing.T) {
	for _, clean := range []bool{true, false} {
		for _, name := range []string{recoveryPointFile, logStartFile, highWatermarkFile, cleanerFile} {
			for _, text := range []string{"", "0\n", "nonsense", "0\n2\norders 3 7\n", "9\n0\n", "0\n1\norders 3 x\n"} {
				t.Run(fmt.Sprintf("clean=%v %s %q", clean, name, text), func(t *testing.T) {
					fs := vfs.NewMemory()
					d := mustOpenDir(t, fs)
					appendValues(t, mustOpen(t, d, smallConfig()), 0, numbered(0, 50)...)
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					if !clean {
						if err := fs.Remove(d.Path() + "/" + cleanStopFile); err != nil {
							t.Fatal(err)
						}
					}
					if err := vfs.WriteFileAtomic(fs, d.Path()+"/"+name, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
					l := mustOpen(t, mustOpenDir(t, fs), smallConfig())
					same(t, readAll(t, l, 0, 3000), expect(50))
				})
			}
		}
	}
}
