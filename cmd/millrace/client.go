package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// session is one run of the command line: the global flags, and the connection once a verb asked for it.
type session struct {
	// set by flags, fixed once the verb runs
	brokersFlag string
	profileFlag string
	configFlag  string
	overrides   []string
	formatFlag  string

	settings *settings   // fixed after the first resolve
	client   *kgo.Client // nil until connect
}

func (s *session) addFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&s.brokersFlag, "brokers", "B", "", "addresses of brokers, HOST:PORT,HOST:PORT")
	f.StringVar(&s.profileFlag, "profile", "", "profile to use instead of the current one")
	f.StringVar(&s.configFlag, "config-file", "", "file with the profiles (default ~/.config/millrace/config.yaml)")
	f.StringArrayVarP(&s.overrides, "option", "X", nil, "connection setting as key=value, repeatable; 'millrace profile keys' lists the keys")
	f.StringVar(&s.formatFlag, "format", "", "output: "+strings.Join(formats(), ", ")+" (default table)")
	f.Bool("help-json", false, "print this command, its verbs and flags as JSON")
	must(root.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(formats(), cobra.ShellCompDirectiveNoFileComp)))
	must(root.RegisterFlagCompletionFunc("profile", s.completeProfiles))
	must(root.RegisterFlagCompletionFunc("option", completeSettings))
}

// must is for registrations that fail only when the code names a flag that does not exist.
func must(err error) {
	if err != nil {
		panic("BUG: " + err.Error())
	}
}

// resolve works out the settings once: flag > -X > environment > profile > defaults of the file > built-in.
func (s *session) resolve() (*settings, error) {
	if s.settings != nil {
		return s.settings, nil
	}
	path, err := configPath(s.configFlag)
	if err != nil {
		return nil, err
	}
	file, err := loadConfigFile(path)
	if err != nil {
		return nil, err
	}
	name, err := s.profileName(file)
	if err != nil {
		return nil, err
	}
	overrides, err := overrideSettings(s.overrides)
	if err != nil {
		return nil, err
	}
	flags := layer{source: flagSource, values: map[string]string{}}
	if s.brokersFlag != "" {
		flags.values["brokers"] = s.brokersFlag
	}
	if s.formatFlag != "" {
		flags.values["format"] = s.formatFlag
	}
	merged, err := mergeSettings(layer{"defaults of " + path, file.Defaults}, layer{"profile " + name, file.Profiles[name]}, environmentSettings(), overrides, flags)
	if err != nil {
		return nil, err
	}
	merged.profile = name
	s.settings = merged
	return merged, nil
}

// profileName is the profile in use, or empty.
func (s *session) profileName(file *configFile) (string, error) {
	name := s.profileFlag
	if name == "" {
		name = os.Getenv("MILLRACE_PROFILE")
	}
	if name == "" {
		name = file.Current
	}
	if name == "" {
		return "", nil
	}
	_, err := file.profileNamed(name)
	return name, err
}

// print writes the result of a verb in the format that was asked for.
func (s *session) print(cmd *cobra.Command, value any, tables ...*table) error {
	cfg, err := s.resolve()
	if err != nil {
		return err
	}
	return writeFormatted(cmd.OutOrStdout(), cfg.get("format"), value, tables...)
}

// deadline bounds one request by the timeout setting.
func (s *session) deadline(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), s.settings.timeout())
}

// admin connects and returns the administrative client with a context for one answer.
func (s *session) admin(cmd *cobra.Command) (context.Context, context.CancelFunc, *kadm.Client, error) {
	client, err := s.connect(cmd.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	ctx, cancel := s.deadline(cmd)
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(int32(s.settings.timeout().Milliseconds()))
	return ctx, cancel, admin, nil
}

func (s *session) close() {
	if s.client != nil {
		s.client.Close()
	}
}

func clientOptions(ctx context.Context, cfg *settings) ([]kgo.Opt, error) {
	perBroker := min(cfg.timeout()/3, 5*time.Second) // there is time left to ask another
	opts := []kgo.Opt{
		kgo.SeedBrokers(cfg.seeds()...),
		kgo.ClientID(cfg.get("client_id")),
		kgo.SoftwareNameAndVersion("millrace-cli", wireVersion(softwareVersion())),
		kgo.DialTimeout(perBroker),
		kgo.RequestTimeoutOverhead(max(perBroker, quorumPatience)), // a broker that misses the quorum waits for it before it says so
		kgo.RetryTimeout(cfg.timeout()),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.DisableClientMetrics(),
	}
	tlsConfig, err := cfg.tlsConfig()
	if err != nil {
		return nil, usagef("%v", err)
	}
	if tlsConfig != nil {
		opts = append(opts, kgo.DialTLSConfig(tlsConfig))
	}
	mechanism, err := saslMechanism(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if mechanism != nil {
		opts = append(opts, kgo.SASL(mechanism))
	}
	return opts, nil
}

// saslMechanism is nil when the profile names no user.
func saslMechanism(ctx context.Context, cfg *settings) (sasl.Mechanism, error) {
	user, mechanism := cfg.get("sasl.username"), strings.ToUpper(cfg.get("sasl.mechanism"))
	if user == "" {
		if mechanism != "" {
			return nil, usagef("sasl.mechanism is set, sasl.username is not")
		}
		return nil, nil
	}
	password, err := cfg.password(ctx)
	if err != nil {
		return nil, err
	}
	switch mechanism {
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	}
	return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
}

// password is sasl.password, or what sasl.password_command prints.
func (s *settings) password(ctx context.Context) (string, error) {
	if p := s.get("sasl.password"); p != "" {
		return p, nil
	}
	command := s.get("sasl.password_command")
	if command == "" {
		return "", usagef("sasl.username is set, but no password\nSet MILLRACE_SASL_PASSWORD or sasl.password_command")
	}
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("run sasl.password_command %s: %w", quote(command), err)
	}
	return strings.TrimRight(string(out), "\r\n"), nil
}

func loadAuthorities(file string) (*x509.CertPool, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no PEM certificate", file)
	}
	return pool, nil
}

// explain adds to a late network error what is wrong with the metadata quorum, or with the addresses that the cluster advertises.
func (s *session) explain(err error) error {
	var f *failure
	if s.client == nil || errors.As(err, &f) || !(isTimeout(err) || isNetwork(err)) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if quorumIsLost(ctx, s.client) {
		return &failure{code: exitFailed, cause: err, message: err.Error() + "\nThe metadata quorum has no leader: nothing can be created, changed or elected.\n" +
			"Start the voters that are missing: millrace cluster health"}
	}
	message := explainAdvertised(ctx, s.settings)
	if message == "" {
		return fmt.Errorf("no answer within %s: %w\nRun 'millrace doctor', or allow more time with -X timeout=1m", s.settings.timeout(), err)
	}
	return &failure{code: exitFailed, message: err.Error() + "\n" + message, cause: err}
}

// note says something to a person.
func note(cmd *cobra.Command, format string, args ...any) {
	fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
}
