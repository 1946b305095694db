// Package gateway is the node's HTTP side: metrics, health, profiles, and a page that says what this is.
//
//	GET /                 what runs here, as JSON or for people as a page
//	GET /metrics          Prometheus, from the registry that the broker is given
//	GET /healthz/live     200 while the process can serve at all, else 503
//	GET /healthz/ready    200 when it can serve clients, else 503; /healthz is the same
//	GET /debug/pprof/     Go's profiles, for callers on this machine
//
// It owns the HTTP listener's limits, the handlers above and the metric of consumer lag. It does not own what they show:
// checks, metrics and offsets come from the broker that it is given. The schema registry, the REST proxy, the console and
// the admin API join as folders below it.
//
// Invariants: no request waits for a lock of the data path; every answer has a deadline, every connection a place among
// the limited; a profile is never given to another machine, to a proxy, or to a web page that got a name to point here;
// the number of lag series has a bound however many groups there are, and the same ones are shown at every scrape.
package gateway
