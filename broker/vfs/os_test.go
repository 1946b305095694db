package vfs

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkWritev is the append of a log: some batches, one write.
func BenchmarkWritev(b *testing.B) {
	for _, count := range []int{1, 8} {
		b.Run(fmt.Sprintf("%d x 16 KiB", count), func(b *testing.B) {
			f, err := OS().OpenFile(filepath.Join(b.TempDir(), "log"), os.O_RDWR|os.O_CREATE, 0o644)
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			bufs := make([][]byte, count)
			for i := range bufs {
				bufs[i] = make([]byte, 16<<10)
			}
			b.SetBytes(int64(count) * 16 << 10)
			b.ReportAllocs()
			var offset int64
			for b.Loop() {
				n, err := f.Writev(bufs, offset)
				if err != nil {
					b.Fatal(err)
				}
				if offset += int64(n); offset > 64<<20 {
					offset = 0
				}
			}
		})
	}
}
