package gateway

import (
	"net"
	"net/http"
	"net/http/pprof"
)

func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// onlyThisMachine refuses callers from other machines, also those that a proxy on this one lets in, and web pages that
// made their own name point to this machine.
func onlyThisMachine(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""
		if forwarded || !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) {
			writeJSON(w, http.StatusForbidden, map[string]string{"error": "profiles are given to callers on this machine only"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// isLoopback reports whether an address, with a port or without, is this machine talking to itself.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}
