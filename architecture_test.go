// Package millrace_test holds the picture of ARCHITECTURE.md against the code: who may import whom.
package millrace_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace-io/millrace/"

// mayImport says, for each package or folder, which folders of ours it may import besides itself, what lies below it and
// the floor. A new arrow is added here with its reason. A package without a line may import only the floor.
var mayImport = map[string][]string{
	"cmd/millrace": {"broker", "metadata/config"}, // config keys and validation need the catalogue; everything else goes through package broker

	// The assembly closes every seam.
	"broker": {"broker/api", "broker/coordinator", "broker/gateway", "broker/group", "broker/log", "broker/peer", "broker/replica", "broker/server", "broker/share", "broker/txn", "broker/verify", "metadata", "security"},

	"broker/gateway":     {"broker/group", "security"}, // consumer lag is made from the groups' committed offsets
	"broker/api":         {"broker/group", "broker/coordinator", "broker/peer", "broker/replica", "broker/server", "broker/log", "broker/share", "broker/txn", "broker/verify", "metadata", "security"},
	"broker/server":      {"broker/log", "broker/socket", "security"}, // answers carry slices of logs, which are sent from their files
	"broker/group":       {"broker/coordinator"},
	"broker/txn":         {"broker/coordinator"},
	"broker/coordinator": {},
	"broker/share":       {"broker/coordinator", "broker/log", "broker/replica"}, // records are handed out where partitions are led
	"broker/replica":     {"broker/log", "metadata", "security"},                 // replicas follow the metadata image and its deltas
	"broker/log":         {},
	"broker/verify":      {},                // who coordinates what, and how a broker is asked, is the assembly's business
	"broker/peer":        {"broker/socket"}, // whom it connects and what they say to each other is the caller's business
	"broker/socket":      {},

	"metadata": {"security"}, // names are keyed by tenant
	"security": {},

	// The simulator drives the pure cores themselves.
	"e2e/sim": {"broker/coordinator", "broker/group", "broker/log", "broker/replica/isr", "broker/txn", "broker/verify", "metadata"},

	// Tests of whole processes speak the protocol; they build the binary rather than import it.
	"e2e": {},
}

// floor is what everyone may import and what imports nothing of ours.
var floor = []string{"broker/record", "broker/vfs", "broker/planted"}

func TestImportsFollowTheArchitecture(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := 0
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages++
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imported := range p.Imports {
			to, ours := strings.CutPrefix(imported, module)
			if ours && !allowed(from, to) {
				t.Errorf("%s imports %s: no arrow for that in the architecture", from, to)
			}
		}
	}
	if packages < 10 {
		t.Fatalf("go list named %d packages: the test looks at too little", packages)
	}
}

func TestTopLevelFoldersAreFixed(t *testing.T) {
	out, err := exec.Command("git", "ls-files").Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	fixed := []string{"cmd", "broker", "tiering", "wasm", "metadata", "security", "deploy", "e2e", ".ci"}
	for _, file := range strings.Fields(string(out)) {
		if folder, _, nested := strings.Cut(file, "/"); nested && !slices.Contains(fixed, folder) {
			t.Errorf("%s: %s is not one of the top-level folders", file, folder)
		}
	}
}

func allowed(from, to string) bool {
	if slices.Contains(floor, from) || slices.ContainsFunc(floor, func(f string) bool { return strings.HasPrefix(from, f+"/") }) {
		return false
	}
	if slices.Contains(floor, to) {
		return true
	}
	room := from
	for mayImport[room] == nil {
		i := strings.LastIndexByte(room, '/')
		if i < 0 {
			return false
		}
		room = room[:i]
	}
	if to == room || strings.HasPrefix(to, room+"/") && room != "broker" {
		return true // inside one room, or down into its own rooms
	}
	return slices.ContainsFunc(mayImport[room], func(folder string) bool { return to == folder || strings.HasPrefix(to, folder+"/") })
}
