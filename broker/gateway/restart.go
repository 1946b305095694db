package gateway

import (
	"net/http"
	"strconv"
)

// Restart answers orchestrators that restart the nodes of a cluster one by one, with the paths and names that Redpanda's
// operator asks for.
type Restart interface {
	// Risks says what a stop of this node would do now; of each kind at most limit partitions are named.
	Risks(limit int) RestartRisks
	// Reclaimed is how much of what this node holds is in sync again, in percent.
	Reclaimed() int
}

// RestartRisks are the partitions, as topic/number, that a stop of this node would hurt.
type RestartRisks struct {
	SingleReplica    []string `json:"rf1_offline"`                   // their only replica is here
	Unavailable      []string `json:"unavailable"`                   // no other replica is in sync
	FullAcksRefused  []string `json:"full_acks_produce_unavailable"` // fewer than min.insync.replicas would be left
	AcksOneLost      []string `json:"acks1_data_loss"`               // have records that only the leader, which is here, holds
	MetadataReadOnly bool     `json:"metadata_unavailable"`          // the quorum would have no majority
}

// defaultRiskLimit is how many partitions of each kind are named where the caller does not say; maxRiskLimit bounds what
// the caller may say.
const (
	defaultRiskLimit = 128
	maxRiskLimit     = 10_000
)

func preRestart(source Restart) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := defaultRiskLimit
		if text := r.URL.Query().Get("limit"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > maxRiskLimit {
				writeJSON(w, http.StatusBadRequest, map[string]string{"message": "limit must be a number from 0 to " + strconv.Itoa(maxRiskLimit)})
				return
			}
			limit = n
		}
		writeJSON(w, http.StatusOK, map[string]RestartRisks{"risks": source.Risks(limit)})
	})
}

func postRestart(source Restart) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]int{"load_reclaimed_pc": source.Reclaimed()})
	})
}
