package group

// state of a classic group.
//
//	          first join               all joined, or the time is up           leader's assignment is committed
//	Empty ----------------> Preparing ----------------------------> Completing --------------------------> Stable
//	  ^                     Rebalance <---------------------------- Rebalance                                |
//	  |                       |   ^         a member joins, leaves, fails or does not sync                    |
//	  +-----------------------+   +--------------------------------------------------------------------------+
//	       nobody is left
//
// A group that is deleted is gone from memory; what clients are told of it is Dead.
type state int8

const (
	empty state = iota
	preparingRebalance
	completingRebalance
	stable
	stateCount
)

// dead is what DescribeGroups says of a group that is not there.
const dead = "Dead"

func (s state) String() string {
	switch s {
	case empty:
		return "Empty"
	case preparingRebalance:
		return "PreparingRebalance"
	case completingRebalance:
		return "CompletingRebalance"
	default:
		return "Stable"
	}
}
