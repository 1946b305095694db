//go:build !planted

package planted

// Enabled says whether this build can have a fault.
const Enabled = false

// Is reports whether a fault was chosen: none ever is.
func Is(Fault) bool { return false }

// Chosen is the fault that was chosen, by its name.
func Chosen() string { return "" }
