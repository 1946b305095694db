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
	lastMutant

	// Of transactions.
	MarksBeforePrepared       // a coordinator sends markers before their decision is durable
	ForgetsAMarkerAfterMoving // the markers of a coordinator that took over do not reach one partition, and count as written
	SkipsVerification         // a leader lets in what begins a transaction of version 1 without asking its coordinator
	AnswersBeforeReplicated   // a coordinator takes what it has appended for committed
	LoadsAllButTheLast        // a coordinator that takes over does not read the last batch of its log
	TakesLateMarkers          // a leader takes a marker of version 2 as one of version 1
	ReadsUndecided            // read_committed readers are shown what is not decided
	WaitsForDeletedPartitions // a coordinator takes a partition that was deleted for one that has no leader
	GivesIDsTwice             // the controller gives one producer id to two, whose epochs or transactional ids have come to their ends
	lastTransactionMutant
)

// mutants are the faults of a world, with or without transactions.
func mutants(transactions bool) (all []Mutant) {
	first, last := None+1, lastMutant
	if transactions {
		first, last = lastMutant+1, lastTransactionMutant
	}
	for m := first; m < last; m++ {
		all = append(all, m)
	}
	return all
}

var mutantNames = [...]string{
	"none", "follower-asks-unflushed", "leader-holds-unflushed", "takes-silence-for-refusal", "truncates-to-watermark", "ignores-divergence",
	"acks-on-append", "commits-on-election", "shows-unknown-watermark", "shows-uncommitted", "elects-anybody", "forgets-metadata",
	"takes-any-broker-epoch", "hides-a-wiped-disk", "appends-anyway", "never-expands", "watermark-without-followers", "leads-before-registering",
	"", "marks-before-prepared", "forgets-a-marker-after-moving", "skips-verification", "answers-before-replicated", "loads-all-but-the-last",
	"takes-late-markers", "reads-undecided", "waits-for-deleted-partitions", "gives-ids-twice",
}

func (m Mutant) String() string { return mutantNames[m] }

func (w *World) is(m Mutant) bool { return w.cfg.Mutant == m }
