package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
)

const (
	maxConnections      = 256
	maxHeaderBytes      = 16 << 10
	maxBodyBytes        = 1 << 20
	maxScrapesInFlight  = 4
	readHeaderTimeout   = 5 * time.Second
	readTimeout         = 30 * time.Second
	idleTimeout         = 2 * time.Minute
	answerTimeout       = 30 * time.Second
	scrapeTimeout       = 20 * time.Second
	profileTimeout      = 10 * time.Minute
	defaultMaxLagSeries = 10_000
)

// Config says what the gateway serves. Fixed after New.
type Config struct {
	Listener net.Listener // bound already; Close closes it
	Logger   *slog.Logger

	Version   string
	NodeID    int32
	ClusterID func() string

	Gatherer   prometheus.Gatherer   // what /metrics shows
	Registerer prometheus.Registerer // gets the gateway's own metrics

	Live  []Check // empty: alive as long as it answers
	Ready []Check // every one must be content

	Restart Restart // nil: this node does not tell whether it may be restarted

	Lag          LagSource // nil: no lag metric
	MaxLagSeries int       // bound of the lag metric; 0: 10,000
}

// Validate reports every fault of the configuration at once.
func (c *Config) Validate() error {
	var faults []error
	if c.Listener == nil || c.Logger == nil {
		faults = append(faults, errors.New("gateway: Listener and Logger must be given"))
	}
	if c.Gatherer == nil || c.Registerer == nil {
		faults = append(faults, errors.New("gateway: Gatherer and Registerer must be given"))
	}
	if c.ClusterID == nil {
		faults = append(faults, errors.New("gateway: ClusterID must be given"))
	}
	if c.MaxLagSeries < 0 {
		faults = append(faults, errors.New("gateway: MaxLagSeries must not be negative"))
	}
	return errors.Join(faults...)
}

// Server is the HTTP listener of one node.
type Server struct {
	http     *http.Server
	listener net.Listener
}

// New makes the server and registers its metrics. Nothing is served before Serve.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "millrace_http_requests_total",
		Help: "HTTP requests answered, by status code and method."}, []string{"code", "method"})
	if err := cfg.Registerer.Register(requests); err != nil {
		return nil, err
	}
	if cfg.Lag != nil {
		if err := cfg.Registerer.Register(newLagCollector(cfg.Lag, cfg.MaxLagSeries)); err != nil {
			return nil, err
		}
	}
	return &Server{
		listener: cfg.Listener,
		http: &http.Server{
			Handler:           promhttp.InstrumentHandlerCounter(requests, http.MaxBytesHandler(routes(cfg), maxBodyBytes)),
			ReadHeaderTimeout: readHeaderTimeout,
			ReadTimeout:       readTimeout,
			IdleTimeout:       idleTimeout, // no WriteTimeout: profiles take as long as they are asked to, all else has answerTimeout
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelDebug),
		},
	}, nil
}

func routes(cfg Config) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", within(answerTimeout, root(cfg)))
	mux.Handle("GET /metrics", within(answerTimeout, promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog:            scrapeLog{cfg.Logger},
		ErrorHandling:       promhttp.ContinueOnError, // one bad metric must not hide the others
		MaxRequestsInFlight: maxScrapesInFlight,
		Timeout:             scrapeTimeout,
	})))
	mux.Handle("GET /healthz/live", within(answerTimeout, health(cfg.Live)))
	mux.Handle("GET /healthz/ready", within(answerTimeout, health(cfg.Ready)))
	mux.Handle("GET /healthz", within(answerTimeout, health(cfg.Ready)))
	if cfg.Restart != nil {
		mux.Handle("GET /v1/broker/pre_restart_probe", within(answerTimeout, preRestart(cfg.Restart)))
		mux.Handle("GET /v1/broker/post_restart_probe", within(answerTimeout, postRestart(cfg.Restart)))
	}
	mux.Handle("GET /debug/pprof/", within(profileTimeout, onlyThisMachine(profiles())))
	return mux
}

// within gives the answer a deadline, after which the connection is gone.
func within(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Where deadlines are not supported, as in tests without a socket, there is nobody to keep waiting either.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout))
		next.ServeHTTP(w, r)
	})
}

// Serve answers requests until Close, and then returns nil.
func (s *Server) Serve() error {
	err := s.http.Serve(netutil.LimitListener(s.listener, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Close stops accepting, waits for answers under way until ctx ends, and then cuts them off.
func (s *Server) Close(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	if closeErr := s.listener.Close(); closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}
