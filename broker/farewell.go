package broker

import (
	"context"
	"time"
)

// After its leaderships have moved a broker goes on answering for a moment. Who asks it is told who leads now (KIP-951), and goes there at
// once; whose connection just ended would find that out by asking for metadata, which some clients do not do again for
// five seconds.
const (
	farewellQuiet   = 100 * time.Millisecond // without a request: everybody who is busy knows
	farewellLongest = 500 * time.Millisecond // others may go on with what nobody else can lead
	farewellLook    = 10 * time.Millisecond
)

// farewell returns when clients have been quiet for a moment. lastActive is when one of them was heard or answered last.
func farewell(ctx context.Context, clock func() time.Time, lastActive func() time.Time) {
	began := clock()
	for {
		now := clock()
		quietSince := began
		if last := lastActive(); last.After(began) {
			quietSince = last
		}
		if now.Sub(quietSince) >= farewellQuiet || now.Sub(began) >= farewellLongest || !sleepContext(ctx, farewellLook) {
			return
		}
	}
}
