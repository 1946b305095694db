package log

import (
	"errors"
	"io/fs"

	"github.com/millrace-io/millrace/broker/log/segment"
)

// incarnationFile holds the incarnation of the page cache in which every log of the directory was found whole, or was cut.
// It is never synced: after a power failure it says nothing, or names an incarnation that has ended.
const incarnationFile = ".incarnation"

// loadIncarnation finds out whether the page cache has outlived the last process.
func (d *Dir) loadIncarnation() error {
	now := d.fs.Incarnation(d.path)
	before, err := segment.ReadFile(d.fs, d.path+"/"+incarnationFile)
	d.keptPages = err == nil && now != "" && string(before) == now
	switch {
	case d.keptPages:
		return nil
	case d.cleanStop || len(d.found) == 0:
		d.incarnationSettled = true
		return d.noteIncarnation()
	}
	if err := d.fs.Remove(d.path + "/" + incarnationFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// noteIncarnation is called when nothing that an earlier incarnation may have torn is left.
func (d *Dir) noteIncarnation() error {
	now := d.fs.Incarnation(d.path)
	if now == "" {
		return nil
	}
	return segment.WriteFile(d.fs, d.path+"/"+incarnationFile, []byte(now), false)
}

// settleIncarnation notes the incarnation once no partition on disk waits to be recovered. The caller holds checkpointMu.
func (d *Dir) settleIncarnation() error {
	if d.incarnationSettled || d.keptPages {
		return nil
	}
	d.mu.Lock()
	waiting := len(d.found)
	for _, l := range d.logs {
		if !l.ready.Load() {
			waiting++
		}
	}
	d.mu.Unlock()
	if waiting > 0 {
		return nil
	}
	d.incarnationSettled = true
	return d.noteIncarnation()
}
