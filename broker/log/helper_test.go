package log

import "math/rand/v2"

func testRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
