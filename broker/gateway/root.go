package gateway

import (
	"html/template"
	"net/http"
	"strings"
)

// identity is what the root tells: whom one has reached.
type identity struct {
	Name      string   `json:"name"`
	Version   string   `json:"version"`
	NodeID    int32    `json:"node_id"`
	ClusterID string   `json:"cluster_id"`
	Endpoints []string `json:"endpoints"`
}

const page = `<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Millrace node {{.NodeID}}</title>
<body style="font:16px/1.5 system-ui,sans-serif;margin:3em auto;max-width:40em;padding:0 1em">
<h1>Millrace {{.Version}}</h1><p>Node {{.NodeID}} of cluster <code>{{.ClusterID}}</code>.</p>
<ul>{{range .Endpoints}}<li><a href="{{.}}">{{.}}</a></li>{{end}}</ul>
`

func root(cfg Config) http.Handler {
	pageTemplate := template.Must(template.New("root").Parse(page))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := identity{Name: "millrace", Version: cfg.Version, NodeID: cfg.NodeID, ClusterID: cfg.ClusterID(),
			Endpoints: []string{"/metrics", "/healthz/live", "/healthz/ready", "/v1/broker/pre_restart_probe", "/v1/broker/post_restart_probe", "/debug/pprof/"}}
		w.Header().Set("Vary", "Accept")
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			writeJSON(w, http.StatusOK, who)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
		// An error here is a client that went away.
		_ = pageTemplate.Execute(w, who)
	})
}
