// Package planted has the bugs that the checker of e2e/chaos must find in a real broker. A build with the tag planted
// (`go build -tags planted ./cmd/millrace`) has one of them when it is started with MILLRACE_PLANTED=NAME; the ordinary build
// has none: Enabled is a constant there, and the compiler leaves out every hook. That tests of the checker can fail is proven
// by this; nothing else is to use it.
//
// It owns the list of faults and which of them was chosen. It does not own what a fault does: that is in the file planted.go
// of the package it is planted in, which is compiled and vetted in every build, in functions whose name begins with planted.
// A hook is one line:
//
//	if planted.Enabled && l.plantedForget(w, b) {
//		return
//	}
//
// Invariants:
//   - Every use stands behind `planted.Enabled &&`. e2e/chaos holds that no symbol of a hook is in the ordinary binary.
//   - A fault is chosen once, when the process starts. What it does follows from the bytes at hand (offsets, checksums), so
//     that no field has to be there for it.
package planted
