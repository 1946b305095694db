package gateway

import (
	"encoding/json"
	"net/http"
)

// Check is one thing that the node's health depends on.
type Check struct {
	Name  string
	Fault func() error // nil: content. It must not block.
	// Warns says that a fault is for an operator to look at, and no reason to keep clients away.
	Warns bool
}

// healthReport is the body of the health endpoints.
type healthReport struct {
	Status string        `json:"status"` // ok or failing
	Checks []checkReport `json:"checks"`
}

type checkReport struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

const (
	statusOK      = "ok"
	statusFailing = "failing"
	statusWarning = "warning"
)

func health(checks []Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		report, code := healthReport{Status: statusOK, Checks: []checkReport{}}, http.StatusOK
		for _, check := range checks {
			one := checkReport{Name: check.Name, Status: statusOK}
			if err := check.Fault(); err != nil {
				one.Reason = err.Error()
				if one.Status = statusWarning; !check.Warns {
					one.Status, report.Status, code = statusFailing, statusFailing, http.StatusServiceUnavailable
				}
			}
			report.Checks = append(report.Checks, one)
		}
		writeJSON(w, code, report)
	})
}

func writeJSON(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// An error here is a client that went away.
	_ = json.NewEncoder(w).Encode(body)
}
