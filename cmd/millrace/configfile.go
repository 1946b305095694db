package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// configFile is config.yaml: named sets of settings, and which one is in use.
//
//	current: staging
//	defaults:
//	  timeout: 30s
//	profiles:
//	  staging:
//	    brokers: kafka-1:9092,kafka-2:9092
//	    tls.enabled: true
type configFile struct {
	path     string
	Current  string                       `yaml:"current,omitempty"`
	Defaults map[string]string            `yaml:"defaults,omitempty"`
	Profiles map[string]map[string]string `yaml:"profiles,omitempty"`
}

// configPath is $MILLRACE_CONFIG, else millrace/config.yaml in the user's configuration directory (XDG).
func configPath(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv("MILLRACE_CONFIG"); path != "" {
		return path, nil
	}
	dir := os.Getenv("XDG_CONFIG_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the configuration directory: %w", err)
		}
		dir = filepath.Join(home, ".config")
	}
	return filepath.Join(dir, "millrace", "config.yaml"), nil
}

// loadConfigFile reads path; a file that does not exist is an empty one.
func loadConfigFile(path string) (*configFile, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &configFile{path: path, Profiles: map[string]map[string]string{}}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	f, err := parseConfigFile(data)
	if err != nil {
		return nil, usagef("%s: %v\nEdit it with 'millrace profile edit'", path, err)
	}
	f.path = path
	return f, nil
}

// parseConfigFile reports every unknown key with its line.
func parseConfigFile(data []byte) (*configFile, error) {
	f := &configFile{}
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) > 0 {
		if err := errors.Join(unknownConfigKeys(doc.Content[0])...); err != nil {
			return nil, err
		}
	}
	if err := yaml.Unmarshal(data, f); err != nil {
		return nil, err
	}
	if f.Profiles == nil {
		f.Profiles = map[string]map[string]string{}
	}
	return f, nil
}

func unknownConfigKeys(root *yaml.Node) []error {
	var errs []error
	eachKey(root, func(key, value *yaml.Node) {
		switch key.Value {
		case "current":
		case "defaults":
			errs = append(errs, unknownSettings(value)...)
		case "profiles":
			eachKey(value, func(_, profile *yaml.Node) { errs = append(errs, unknownSettings(profile)...) })
		default:
			errs = append(errs, fmt.Errorf("line %d: unknown key %s (keys: current, defaults, profiles)", key.Line, quote(key.Value)))
		}
	})
	return errs
}

func unknownSettings(node *yaml.Node) []error {
	var errs []error
	eachKey(node, func(key, value *yaml.Node) {
		if value.Kind != yaml.ScalarNode {
			errs = append(errs, fmt.Errorf("line %d: %s must be a single value; keys are written with dots, such as tls.ca", key.Line, quote(key.Value)))
		} else if err := checkSetting(key.Value, value.Value); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", key.Line, err))
		}
	})
	return errs
}

func eachKey(node *yaml.Node, do func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		do(node.Content[i], node.Content[i+1])
	}
}

func (f *configFile) names() []string { return slices.Sorted(maps.Keys(f.Profiles)) }

// profileNamed returns an error that names the profiles there are.
func (f *configFile) profileNamed(name string) (map[string]string, error) {
	if p, ok := f.Profiles[name]; ok {
		return p, nil
	}
	return nil, notFoundf("profile %s is not in %s\nList profiles: millrace profile list", quote(name), f.path)
}

// save replaces the file in one step; it may hold a password, so only its owner can read it.
func (f *configFile) save() error {
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(f); err != nil {
		return fmt.Errorf("encode configuration: %w", err)
	}
	return replaceFile(f.path, buf.Bytes())
}

func replaceFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("create configuration directory: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".config-*.yaml")
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
