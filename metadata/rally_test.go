package metadata

import "testing"

// A paused controller that went on used to depose its heir: a third node had asked everybody before the heir was elected,
// the paused one's answer came last, and the node stood on answers that were a second old.
func TestNobodyStandsOnAnswersFromBeforeAnElection(t *testing.T) {
	t.Parallel()
	c := newCluster(t, 3)
	c.startAll(1, 2, 3)
	c.allocate()
	c.same()
	old := c.controller()
	before := map[int32]uint64{}
	for id, m := range c.members {
		before[id] = m.node.quorum.State().Term
	}
	old.stop()
	c.allocate()
	c.same()
	for id, m := range c.members {
		if m == old || m.node.IsController() {
			continue
		}
		now := m.node.quorum.State()
		asked := now
		if asked.Term = before[id]; m.node.standAsOf(asked) {
			t.Errorf("node %d stands in term %d by what was so in term %d", id, now.Term, asked.Term)
		}
		asked = now
		if asked.LeaderID = -1; m.node.standAsOf(asked) {
			t.Errorf("node %d stands against leader %d because there was none", id, now.LeaderID)
		}
		if !m.node.standAsOf(m.node.quorum.State()) {
			t.Errorf("node %d does not stand where nothing has changed", id)
		}
	}
}
