//go:build e2e

package chaos

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-io/millrace/e2e/harness"
)

// disk is an ext4 file system in a file, so that a test can fill it or cut its power.
type disk struct {
	t     testing.TB
	image string
	path  string // where it is mounted
	below string // where the tmpfs of a thin disk is mounted
}

// newDisk makes and mounts a file system.
func newDisk(t testing.TB, sizeMiB int) *disk {
	t.Helper()
	dir := t.TempDir()
	d := &disk{t: t, image: filepath.Join(dir, "image"), path: filepath.Join(dir, "mounted")}
	if err := os.Mkdir(d.path, 0o755); err != nil {
		t.Fatal(err)
	}
	d.makeImage(sizeMiB)
	d.mountUntilEnd(d.path, "-o", "loop", d.image)
	return d
}

// mountUntilEnd mounts something at path. It is gone at the end of the test, and also when the test process dies: a
// small shell waits on a pipe whose other end is held here.
func (d *disk) mountUntilEnd(path string, mountArgs ...string) {
	d.t.Helper()
	if os.Geteuid() != 0 {
		d.t.Fatal("faults of disks need root: a file system is mounted")
	}
	undertaker := exec.Command("sh", "-c", `cat >/dev/null; umount -l "$1" 2>/dev/null`, "sh", path)
	hold, err := undertaker.StdinPipe()
	if err == nil {
		err = undertaker.Start()
	}
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		hold.Close()
		_ = undertaker.Wait() // umount fails when the test has unmounted it itself
	})
	d.run("mount", append(mountArgs, path)...)
}

func (d *disk) makeImage(sizeMiB int) {
	d.t.Helper()
	f, err := os.Create(d.image)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(int64(sizeMiB) << 20); err != nil {
		d.t.Fatal(err)
	}
	d.run(harness.Program(d.t, "mkfs.ext4", "e2fsprogs"), "-q", "-F", "-m", "0", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", d.image)
}

func (d *disk) run(program string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

// dir returns a path on the disk.
func (d *disk) dir(name string) string { return filepath.Join(d.path, name) }

// powerLoss ends all I/O at once: what was not flushed never reaches the image, and every later call gets EIO.
//
// The process that uses the disk (0: none does) is stopped over the moment itself. An fdatasync that is under way when ext4 or xfs shut
// down can return success for bytes that never get to the image (seen in 1 of 8 losses with a program that does nothing
// but write and sync), which is the fault's fault: a machine without power does not return from a system call.
func (d *disk) powerLoss(pid int) {
	d.t.Helper()
	if pid != 0 {
		d.stopProcess(pid)
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	}
	d.run(harness.Program(d.t, "xfs_io", "xfsprogs"), "-x", "-c", "shutdown", d.path)
}

// stopProcess returns once every thread has stopped: one that is in a system call finishes it first.
func (d *disk) stopProcess(pid int) {
	d.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		d.t.Fatalf("stop the broker: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); !allStopped(pid); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			d.t.Fatal("the broker's threads do not stop")
		}
	}
}

func allStopped(pid int) bool {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(stats) == 0 {
		return true // it is gone
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		// "pid (name) state ...", and the name may hold anything but ends with the last parenthesis.
		if _, state, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')'):]), " "); !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}

// repair mounts the disk again; nobody may have a file open on it.
func (d *disk) repair() {
	d.t.Helper()
	d.run("umount", d.path)
	d.run("mount", "-o", "loop", d.image, d.path) // the kernel frees the loop device at the unmount
}

// fill takes room away under a name.
func (d *disk) fill(name string, sizeMiB int) {
	d.t.Helper()
	d.run("fallocate", "-l", strconv.Itoa(sizeMiB)+"MiB", d.dir(name))
}

// free gives the room back.
func (d *disk) free(name string) {
	d.t.Helper()
	if err := os.Remove(d.dir(name)); err != nil {
		d.t.Fatal(err)
	}
}
