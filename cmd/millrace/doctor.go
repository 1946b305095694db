package main

import (
	"context"
	"fmt"
	"os"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func newDoctorCommand(s *session) *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "Check this machine's settings and the cluster: what is wrong, why, and how to fix it",
		Long: `Check this machine's settings and the cluster: ok, warn or fail for each, with the reason and the way to fix it.
Nothing is written to the cluster. Exit code 10 when a check fails.`,
		Example: `  millrace doctor
  millrace doctor --brokers kafka-1:9092 --format json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			checks := s.diagnose(cmd)
			if s.settings == nil { // the settings themselves are what is wrong: show that as a table
				s.settings = &settings{values: map[string]settingValue{}}
				if checkFormat(s.formatFlag) == nil {
					s.settings.set("format", s.formatFlag, "flag")
				}
			}
			h := clusterHealth{Healthy: !anyFailed(checks), Checks: checks}
			if err := s.print(cmd, h, checkTable(checks)); err != nil {
				return err
			}
			if !h.Healthy {
				return unhealthy()
			}
			return nil
		},
	}
}

// diagnose goes from near to far and stops where looking further makes no sense.
func (s *session) diagnose(cmd *cobra.Command) []check {
	checks := []check{passed("version", "%s, %s", softwareVersion(), buildVersion().Platform)}
	checks = append(checks, s.configChecks()...)
	if anyFailed(checks) {
		return checks
	}
	cfg := s.settings
	addresses := survey(cmd.Context(), cfg)
	for _, found := range addresses {
		if found.ok() {
			checks = append(checks, passed("bootstrap", "a Kafka listener answers at %s", found.address))
			continue
		}
		checks = append(checks, check{Name: "bootstrap", Status: checkFail, Detail: found.address + ": " + found.why, Why: "clients start here", Fix: found.fix})
	}
	if cfg.goOnWith(addresses); len(cfg.answering) == 0 {
		return checks
	}
	client, err := s.connect(cmd.Context())
	if err != nil {
		return append(checks, check{Name: "login", Status: checkFail, Detail: firstLine(err.Error()), Why: "the listener answers, but does not let this user in", Fix: "check sasl.* in: millrace profile show"})
	}
	ctx, cancel := s.deadline(cmd)
	defer cancel()
	admin := kadm.NewClient(client)
	cluster := clusterChecks(ctx, cfg, client) // first, while the client knows only the addresses that are known to answer
	if cluster[0].Status != checkFail {
		checks = append(checks, versionCheck(ctx, admin))
	}
	return append(checks, cluster...)
}

func (s *session) configChecks() []check {
	path, err := configPath(s.configFlag)
	if err != nil {
		return []check{{Name: "config file", Status: checkFail, Detail: err.Error()}}
	}
	cfg, err := s.resolve()
	if err != nil {
		message, fix, _ := strings.Cut(err.Error(), "\n")
		return []check{{Name: "settings", Status: checkFail, Detail: message, Why: "no command can run with them", Fix: fix}}
	}
	checks := []check{passed("settings", "%s (%s)", cfg.get("brokers"), cfg.values["brokers"].source)}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && holdsPassword(path) {
		checks = append(checks, check{Name: "config file", Status: checkWarn, Detail: fmt.Sprintf("%s holds a password and others can read it (%v)", path, info.Mode().Perm()),
			Why: "anyone on this machine can log in with it", Fix: "chmod 600 " + path + ", better: sasl.password_command"})
	}
	if unknown := unknownEnvironment(); len(unknown) > 0 {
		checks = append(checks, check{Name: "environment", Status: checkWarn, Detail: strings.Join(unknown, ", "), Why: "these variables belong to no setting and are ignored",
			Fix: "see the names: millrace profile keys"})
	}
	if cfg.bool("tls.insecure_skip_verify") {
		checks = append(checks, check{Name: "tls", Status: checkWarn, Detail: "tls.insecure_skip_verify is on", Why: "anyone on the way can pose as the broker", Fix: "trust the authority: tls.ca=FILE"})
	}
	if cfg.get("sasl.username") != "" && !cfg.tlsEnabled() {
		checks = append(checks, check{Name: "login", Status: checkWarn, Detail: "a user is set, TLS is off", Why: "what is sent can be read on the way; with PLAIN the password, too", Fix: "tls.enabled=true"})
	}
	return checks
}

func holdsPassword(path string) bool {
	file, err := loadConfigFile(path)
	if err != nil {
		return false
	}
	for _, p := range file.Profiles {
		if p["sasl.password"] != "" {
			return true
		}
	}
	return file.Defaults["sasl.password"] != ""
}

// unknownEnvironment lists MILLRACE_ variables that no setting reads: usually a slip of the pen.
func unknownEnvironment() []string {
	known := map[string]bool{"MILLRACE_PROFILE": true, "MILLRACE_CONFIG": true}
	for _, d := range settingKeys() {
		known[d.environmentName()] = true
	}
	var out []string
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "MILLRACE_") && !known[name] {
			out = append(out, name)
		}
	}
	sort.Strings(out)
	return out
}

// versionCheck says how new the brokers are, by the versions of the APIs they speak.
func versionCheck(ctx context.Context, admin *kadm.Client) check {
	brokers, err := admin.ApiVersions(ctx)
	if err != nil && len(brokers) == 0 {
		return check{Name: "protocol", Status: checkWarn, Detail: err.Error()}
	}
	var seen []string
	for _, b := range brokers.Sorted() {
		if b.Err != nil {
			continue
		}
		if spoken := spokenAPIs(b); !contains(seen, spoken) {
			seen = append(seen, spoken)
		}
	}
	if len(seen) == 0 {
		return check{Name: "protocol", Status: checkWarn, Detail: "no broker tells which APIs it speaks", Why: "the brokers' advertised addresses do not answer"}
	}
	if len(seen) > 1 {
		return check{Name: "protocol", Status: checkWarn, Detail: "brokers differ: " + strings.Join(seen, "; "), Why: "an upgrade is not finished", Fix: "bring all brokers to one version"}
	}
	return passed("protocol", "%s", strings.Join(seen, ""))
}

// spokenAPIs is a short text that differs when two brokers do not speak the same.
func spokenAPIs(b kadm.BrokerApiVersions) string {
	count := 0
	b.EachKeySorted(func(_, _, _ int16) { count++ })
	produce, _ := b.KeyMaxVersion(int16(kmsg.Produce))
	fetch, _ := b.KeyMaxVersion(int16(kmsg.Fetch))
	return fmt.Sprintf("%d APIs, Produce up to version %d, Fetch up to %d", count, produce, fetch)
}
