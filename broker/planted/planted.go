//go:build planted

package planted

import "os"

// Enabled says whether this build can have a fault.
const Enabled = true

// environment chooses a fault by its name; without it there is none.
const environment = "MILLRACE_PLANTED"

// chosen never changes after the start of the process.
var chosen = choose(os.Getenv(environment))

// Is reports whether a fault was chosen.
func Is(f Fault) bool { return f == chosen }

// Chosen is the fault that was chosen, by its name.
func Chosen() string { return nameOf(chosen) }

func choose(name string) Fault {
	for f := None; f < last; f++ {
		if nameOf(f) == name || f == None && name == "" {
			return f
		}
	}
	panic(environment + "=" + name + " is no fault")
}

func nameOf(f Fault) string {
	return [...]string{
		"none", "forgets-batches", "hides-active-segment", "appends-retries", "follows-blindly", "commits-aborted", "lists-no-aborted",
		"shows-open-transactions", "leaves-out-middle", "leaves-out-first", "goes-back", "turns-round", "exchanges-batches",
		"answers-zero", "tears-transactions",
	}[f]
}
