package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setting is one key that says how to reach a cluster. The same key works as -X key=value, as MILLRACE_KEY and in a profile.
type setting struct {
	Key, Default, Help string
	Secret             bool
	check              func(string) error
}

// environmentName is the variable for the key: tls.ca -> MILLRACE_TLS_CA.
func (d setting) environmentName() string {
	return "MILLRACE_" + strings.ToUpper(strings.ReplaceAll(d.Key, ".", "_"))
}

// settingKeys is the one list of keys; help, validation, profiles and the environment are made from it.
func settingKeys() []setting {
	return []setting{
		{Key: "brokers", Default: "127.0.0.1:9092", Help: "addresses to start from, HOST:PORT,HOST:PORT", check: checkBrokers},
		{Key: "tls.enabled", Help: "speak TLS; true by itself when another tls key is set", check: checkBool},
		{Key: "tls.ca", Help: "file with the certificate authorities to trust (PEM)", check: checkFile},
		{Key: "tls.cert", Help: "file with the client certificate (PEM)", check: checkFile},
		{Key: "tls.key", Help: "file with the client certificate's key (PEM)", check: checkFile},
		{Key: "tls.server_name", Help: "name to expect in the server's certificate"},
		{Key: "tls.insecure_skip_verify", Help: "do not verify the server's certificate", check: checkBool},
		{Key: "sasl.mechanism", Help: "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; SCRAM-SHA-512 when only sasl.username is set", check: checkMechanism},
		{Key: "sasl.username", Help: "user name"},
		{Key: "sasl.password", Help: "password; prefer sasl.password_command or MILLRACE_SASL_PASSWORD", Secret: true},
		{Key: "sasl.password_command", Help: "shell command that prints the password"},
		{Key: "client_id", Default: "millrace", Help: "client id that brokers see"},
		{Key: "timeout", Default: "15s", Help: "how long one request may take, retries included", check: checkDuration},
		{Key: "format", Default: "table", Help: "default of --format", check: checkFormat},
	}
}

func findSetting(key string) (setting, bool) {
	keys := settingKeys()
	i := slices.IndexFunc(keys, func(d setting) bool { return d.Key == key })
	if i < 0 {
		return setting{}, false
	}
	return keys[i], true
}

// settingNames lists the keys for messages.
func settingNames() string {
	var names []string
	for _, d := range settingKeys() {
		names = append(names, d.Key)
	}
	return strings.Join(names, ", ")
}

// checkSetting says what is wrong with key or value, naming both.
func checkSetting(key, value string) error {
	d, ok := findSetting(key)
	if !ok {
		return fmt.Errorf("unknown key %s (keys: %s)", quote(key), settingNames())
	}
	if d.check == nil {
		return nil
	}
	if err := d.check(value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// settings are the effective values, each with where it comes from.
type settings struct {
	profile   string // name of the profile in use; empty for none
	values    map[string]settingValue
	answering []string // the brokers that answer, once others were found not to; empty: all of them may
}

type settingValue struct{ value, source string }

func (s *settings) get(key string) string { return s.values[key].value }

func (s *settings) set(key, value, source string) { s.values[key] = settingValue{value, source} }

func (s *settings) bool(key string) bool { b, _ := strconv.ParseBool(s.get(key)); return b }

func (s *settings) timeout() time.Duration { d, _ := time.ParseDuration(s.get("timeout")); return d }

func (s *settings) brokers() []string { return splitBrokers(s.get("brokers")) }

// seeds are the addresses that a client starts from.
func (s *settings) seeds() []string {
	if len(s.answering) > 0 {
		return s.answering
	}
	return s.brokers()
}

func (s *settings) tlsEnabled() bool {
	if s.get("tls.enabled") != "" {
		return s.bool("tls.enabled")
	}
	for _, key := range []string{"tls.ca", "tls.cert", "tls.key", "tls.server_name", "tls.insecure_skip_verify"} {
		if s.get(key) != "" {
			return true
		}
	}
	return false
}

// tlsConfig is nil when the connection is plaintext.
func (s *settings) tlsConfig() (*tls.Config, error) {
	if !s.tlsEnabled() {
		return nil, nil
	}
	cfg := &tls.Config{ServerName: s.get("tls.server_name"), InsecureSkipVerify: s.bool("tls.insecure_skip_verify")}
	if file := s.get("tls.ca"); file != "" {
		pool, err := loadAuthorities(file)
		if err != nil {
			return nil, fmt.Errorf("tls.ca: %w", err)
		}
		cfg.RootCAs = pool
	}
	cert, key := s.get("tls.cert"), s.get("tls.key")
	if (cert == "") != (key == "") {
		return nil, fmt.Errorf("tls.cert and tls.key go together: only one of them is set")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls.cert, tls.key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

// layer is one source of settings; a later layer wins over an earlier one.
type layer struct {
	source string
	values map[string]string
}

// flagSource is the source of what has a flag of its own.
const flagSource = "flag"

// mergeSettings lays the layers over the built-in defaults and checks every value.
func mergeSettings(layers ...layer) (*settings, error) {
	s := &settings{values: map[string]settingValue{}}
	for _, d := range settingKeys() {
		if d.Default != "" {
			s.set(d.Key, d.Default, "default")
		}
	}
	for _, l := range layers {
		for key, value := range l.values {
			source := l.source
			if source == flagSource {
				source = "--" + key
			}
			if err := checkSetting(key, value); err != nil {
				return nil, usagef("%s: %s", source, trimKey(l.source, key, err))
			}
			s.set(key, value, source)
		}
	}
	return s, nil
}

// environmentSettings reads MILLRACE_* variables that belong to a key.
func environmentSettings() layer {
	l := layer{source: "environment", values: map[string]string{}}
	for _, d := range settingKeys() {
		if value := os.Getenv(d.environmentName()); value != "" {
			l.values[d.Key] = value
		}
	}
	return l
}

// overrideSettings reads -X key=value.
func overrideSettings(pairs []string) (layer, error) {
	l := layer{source: "-X", values: map[string]string{}}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return l, usagef("-X %s: want key=value (keys: %s)", pair, settingNames())
		}
		l.values[strings.TrimSpace(key)] = value
	}
	return l, nil
}

// trimKey drops the key from the message of a flag: the flag's name is in front already.
func trimKey(source, key string, err error) string {
	if source == flagSource {
		return strings.TrimPrefix(err.Error(), key+": ")
	}
	return err.Error()
}

func splitBrokers(list string) []string {
	var out []string
	for _, b := range strings.Split(list, ",") {
		if b = strings.TrimSpace(b); b != "" {
			if _, _, err := net.SplitHostPort(b); err != nil {
				b = net.JoinHostPort(strings.Trim(b, "[]"), "9092")
			}
			out = append(out, b)
		}
	}
	return out
}

func checkBrokers(list string) error {
	brokers := splitBrokers(list)
	if len(brokers) == 0 {
		return fmt.Errorf("no address; want HOST:PORT,HOST:PORT")
	}
	for _, b := range brokers {
		_, port, err := net.SplitHostPort(b)
		if n, convErr := strconv.Atoi(port); err != nil || convErr != nil || n < 1 || n > 65535 {
			return fmt.Errorf("%s is not HOST:PORT", quote(b))
		}
	}
	return nil
}

func checkBool(v string) error {
	if v != "true" && v != "false" {
		return fmt.Errorf("%s is neither true nor false", quote(v))
	}
	return nil
}

func checkFile(v string) error {
	_, err := os.Stat(v)
	return err
}

func checkMechanism(v string) error {
	switch strings.ToUpper(v) {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		return nil
	}
	return fmt.Errorf("%s is not known; want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", quote(v))
}

func checkDuration(v string) error {
	if d, err := time.ParseDuration(v); err != nil || d <= 0 {
		return fmt.Errorf("%s is no duration such as 15s or 2m", quote(v))
	}
	return nil
}

func checkFormat(v string) error {
	if !slices.Contains(formats(), v) {
		return fmt.Errorf("%s is not one of %s", quote(v), strings.Join(formats(), ", "))
	}
	return nil
}
