package main

import (
	"strings"
	"testing"
)

func TestParseConfigFileRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text     string
		messages []string
	}{
		{"colour: red\nprofiles:\n  a:\n    brokres: x", []string{`line 1: unknown key "colour"`, `line 4: unknown key "brokres"`}},
		{"profiles:\n  a:\n    timeout: soon", []string{`line 3: timeout: "soon" is no duration`}},
		{"profiles:\n  a:\n    tls:\n      ca: x", []string{`line 3: "tls" must be a single value`}},
		{"defaults:\n  brokers: ''", []string{"line 2: brokers: no address"}},
		{"a: [", []string{"yaml"}},
		{"current: [a]", []string{"cannot unmarshal"}},
	}
	for _, test := range tests {
		_, err := parseConfigFile([]byte(test.text))
		for _, message := range test.messages {
			if err == nil || !strings.Contains(err.Error(), message) {
				t.Errorf("%q: error %v, want %q in it", test.text, err, message)
			}
		}
	}
}

func TestMergeSettingsLastLayerWins(t *testing.T) {
	t.Parallel()
	s, err := mergeSettings(layer{"file", map[string]string{"client_id": "a", "timeout": "1s"}}, layer{"-X", map[string]string{"client_id": "b"}})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]settingValue{"client_id": {"b", "-X"}, "timeout": {"1s", "file"}, "brokers": {"127.0.0.1:9092", "default"}} {
		if got := s.values[key]; got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

func TestTLSIsOnWhenAKeyOfItIsSet(t *testing.T) {
	t.Parallel()
	tests := []struct {
		values map[string]string
		want   bool
	}{
		{nil, false},
		{map[string]string{"tls.server_name": "x"}, true},
		{map[string]string{"tls.server_name": "x", "tls.enabled": "false"}, false},
		{map[string]string{"tls.enabled": "true"}, true},
	}
	for _, test := range tests {
		s, err := mergeSettings(layer{"test", test.values})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.tlsEnabled(); got != test.want {
			t.Errorf("%v: TLS %v, want %v", test.values, got, test.want)
		}
	}
}

func TestSplitBrokers(t *testing.T) {
	t.Parallel()
	got := strings.Join(splitBrokers(" a, b:1 ,[::1]:2,"), " ")
	if want := "a:9092 b:1 [::1]:2"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
