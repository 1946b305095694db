package harness

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// KafkaVersion is the Apache Kafka that the suites compare with; pom.xml names the same.
const KafkaVersion = "4.3.1"

//go:embed pom.xml
var pom []byte

//go:embed log4j2.properties
var log4j []byte

// installWithin bounds the download of one part.
const installWithin = 10 * time.Minute

// Classpath returns the Java classpath of Apache Kafka's broker, client and tools, fetched by Maven at the first use.
func Classpath(t testing.TB) string {
	t.Helper()
	return MavenClasspath(t, pom)
}

// MavenClasspath returns the Java classpath of what a pom.xml depends on, fetched by Maven at the first use.
func MavenClasspath(t testing.TB, pom []byte) string {
	t.Helper()
	dir := part(t, "java", pom, func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "pom.xml"), pom, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, "log4j2.properties"), log4j, 0o644); err != nil {
			return err
		}
		return run(dir, "mvn", "-q", "-B", "dependency:build-classpath", "-Dmdep.outputFile=classpath")
	})
	classpath, err := os.ReadFile(filepath.Join(dir, "classpath"))
	if err != nil {
		t.Fatalf("read the classpath: %v", err)
	}
	return strings.TrimSpace(string(classpath))
}

// JavaLogging is the JVM option that sends warnings of Kafka's classes to standard error and nothing else.
func JavaLogging(t testing.TB) string {
	t.Helper()
	Classpath(t)
	return "-Dlog4j2.configurationFile=" + filepath.Join(partDir(t, "java", pom), "log4j2.properties")
}

// NodeModules returns a directory whose node_modules holds the packages, each written NAME@VERSION.
func NodeModules(t testing.TB, packages ...string) string {
	t.Helper()
	return part(t, "npm", []byte(strings.Join(packages, " ")), func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "package.json"), []byte("{\"private\":true}\n"), 0o644); err != nil {
			return err
		}
		return run(dir, "npm", append([]string{"install", "--no-audit", "--no-fund", "--silent"}, packages...)...)
	})
}

// Python returns the interpreter of a virtual environment that holds the packages, each written NAME==VERSION.
func Python(t testing.TB, packages ...string) string {
	t.Helper()
	dir := part(t, "python", []byte(strings.Join(packages, " ")), func(dir string) error {
		if err := run(dir, "python3", "-m", "venv", "."); err != nil {
			return err
		}
		return run(dir, filepath.Join(dir, "bin", "python"), append([]string{"-m", "pip", "install", "-q"}, packages...)...)
	})
	return filepath.Join(dir, "bin", "python")
}

// Kcat returns the path of kcat, installed from the distribution when it is not there yet.
func Kcat(t testing.TB) string {
	t.Helper()
	if path, err := exec.LookPath("kafkacat"); err == nil {
		return path
	}
	return Program(t, "kcat", "kcat")
}

// Program returns the path of a program, installed with its package of the distribution when it is not there yet.
func Program(t testing.TB, name, debianPackage string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	dir := t.TempDir()
	install := func() error { return run(dir, "apt-get", "install", "-y", "-q", debianPackage) }
	if install() != nil {
		if err := run(dir, "apt-get", "update", "-q"); err != nil {
			t.Fatalf("install %s: %v", debianPackage, err)
		}
		if err := install(); err != nil {
			t.Fatalf("install %s: %v", debianPackage, err)
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s was installed but %s is not found: %v", debianPackage, name, err)
	}
	return path
}

// BuildGo builds one program of a module of its own (its directory, the package in it) and returns the binary's path.
func BuildGo(t testing.TB, module, pkg string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Dir = module
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	return path
}

// part returns a directory of the cache that install has filled. The directory's name carries what was asked for, so a
// new version is a new directory; a half-made one is made again. Two processes that need the same part take turns.
func part(t testing.TB, kind string, wanted []byte, install func(dir string) error) string {
	t.Helper()
	dir := partDir(t, kind, wanted)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("make cache directory: %v", err)
	}
	unlock, err := lockFile(dir + ".lock")
	if err != nil {
		t.Fatalf("lock part %s: %v", kind, err)
	}
	defer unlock()
	done := filepath.Join(dir, ".complete")
	if _, err := os.Stat(done); err == nil {
		return dir
	}
	t.Logf("fetching %s part", kind)
	if err := install(dir); err != nil {
		t.Fatalf("install %s part: %v", kind, err)
	}
	if err := os.WriteFile(done, nil, 0o644); err != nil {
		t.Fatalf("mark %s part: %v", kind, err)
	}
	return dir
}

func partDir(t testing.TB, kind string, wanted []byte) string {
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("find the cache directory: %v", err)
	}
	sum := sha256.Sum256(wanted)
	return filepath.Join(cache, "millrace-e2e", kind+"-"+hex.EncodeToString(sum[:6]))
}

func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil // closing releases the lock
}

func run(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "PIP_DISABLE_PIP_VERSION_CHECK=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return errors.Join(fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err), errors.New(lastLines(string(out), 20)))
	}
	return nil
}
