package sim

// Mutant is a fault planted in a shell, to show that the simulator sees it. None is the shells as they should be.
type Mutant int

// The mutants.
const (
	None                   Mutant = iota
	FollowerAsksUnflushed         // a follower asks on before its disk has what it asked for
	LeaderHoldsUnflushed          // a leader counts what its disk does not have yet
	TakesSilenceForRefusal        // a leader takes a proposal back whose outcome it does not know
	TruncatesToWatermark          // a follower cuts its log at its high watermark instead of where epochs diverge (before KIP-101)
	IgnoresDivergence             // a leader does not compare the last epoch of a follower's fetch
	AcksOnAppend                  // a leader acknowledges what it has appended
	CommitsOnElection             // a new leader takes all of its log for committed
	ShowsUnknownWatermark         // a new leader shows its high watermark before it can know it
	ShowsUncommitted              // a leader shows readers all that it has
	ElectsAnybody                 // the controller elects who lives, in sync or not
	ForgetsMetadata               // a new controller lacks the last committed entry
	TakesAnyBrokerEpoch           // a leader counts fetches of a broker's earlier start
	HidesAWipedDisk               // a broker that lost its disk registers the directory that it lost
	AppendsAnyway                 // a follower does not cut where its log and the leader's part
	NeverExpands                  // a leader never proposes to take in who has caught up
	WatermarkFromISROnly          // a leader asks nobody: its high watermark is what it has itself flushed
	LeadsBeforeRegistering        // a broker takes the roles that an image from before its start gives it
	mutants
)

var mutantNames = [...]string{
	"none", "follower-asks-unflushed", "leader-holds-unflushed", "takes-silence-for-refusal", "truncates-to-watermark", "ignores-divergence",
	"acks-on-append", "commits-on-election", "shows-unknown-watermark", "shows-uncommitted", "elects-anybody", "forgets-metadata",
	"takes-any-broker-epoch", "hides-a-wiped-disk", "appends-anyway", "never-expands", "watermark-without-followers", "leads-before-registering",
}

func (m Mutant) String() string { return mutantNames[m] }

func (w *World) is(m Mutant) bool { return w.cfg.Mutant == m }
