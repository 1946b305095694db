package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/millrace-io/millrace/broker"
	"github.com/millrace-io/millrace/metadata/config"
)

// brokerSection is the part of millrace.yaml that holds broker settings by Kafka's names.
const brokerSection = "broker"

// nodeConfig is a node's configuration together with where each value came from.
type nodeConfig struct {
	broker.Config
	logLevel, logFormat string
	origins             map[string]string // path or Kafka name -> "default", "millrace.yaml line 3", "--set"
}

// newNodeConfig returns the configuration in which everything has its default.
func newNodeConfig() *nodeConfig {
	c := &nodeConfig{Config: broker.Config{Static: map[string]string{}}, origins: map[string]string{}}
	for _, s := range nodeSettings() {
		if err := s.set(c, s.fallback); err != nil {
			panic("BUG: default of " + s.path + ": " + err.Error())
		}
		c.origins[s.path] = "default"
	}
	return c
}

// set changes one setting: a node setting by its path or one of Kafka's names for it, else a broker setting by Kafka's
// name. The error says what is wrong and names the nearest known key.
func (c *nodeConfig) set(key, value, origin string) error {
	if s, ok := findNodeSetting(key); ok {
		if err := s.set(c, value); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		c.origins[s.path] = origin
		return nil
	}
	if config.Broker().Get(key) == nil {
		return fmt.Errorf("%s: unknown setting%s; `millrace config keys` lists all", key, didYouMean(key))
	}
	if err := config.CheckStatic(map[string]string{key: value}); err != nil {
		return err
	}
	c.Static[key] = value
	c.origins[key] = origin
	return nil
}

// setAssignments applies KEY=VALUE pairs given as --set.
func (c *nodeConfig) setAssignments(pairs []string) error {
	var faults []error
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			faults = append(faults, fmt.Errorf("--set %s: want KEY=VALUE", pair))
		} else if err := c.set(strings.TrimSpace(key), value, "--set"); err != nil {
			faults = append(faults, fmt.Errorf("--set %w", err))
		}
	}
	return errors.Join(faults...)
}

// readFile applies a millrace.yaml and reports every fault in it. Relative paths in it are relative to the file, so that
// the same file works from every working directory.
func (c *nodeConfig) readFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	var root yaml.Node
	if err := yaml.NewDecoder(f).Decode(&root); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(root.Content) > 0 {
		reader := fileReader{config: c, file: name}
		reader.section("", root.Content[0])
		if err := errors.Join(reader.faults...); err != nil {
			return err
		}
	}
	base := filepath.Dir(name)
	c.Directory = rebase(base, c.Directory)
	c.Cluster.TokenFile = rebase(base, c.Cluster.TokenFile)
	for i, dir := range c.LogDirectories {
		c.LogDirectories[i] = rebase(base, dir)
	}
	return nil
}

func rebase(base, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(base, path)
}

// fileReader walks one file and gathers its faults.
type fileReader struct {
	config *nodeConfig
	file   string
	faults []error
}

func (r *fileReader) fault(line int, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s line %d: %s", r.file, line, fmt.Sprintf(format, args...)))
}

func (r *fileReader) section(name string, n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // an empty section
	}
	if n.Kind != yaml.MappingNode {
		r.fault(n.Line, "want lines of key: value")
		return
	}
	lines := map[string]int{}
	for i := 0; i < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if first, twice := lines[key.Value]; twice {
			r.fault(key.Line, "%s: set twice, first on line %d", key.Value, first)
			continue
		}
		lines[key.Value] = key.Line
		switch {
		case name == "" && isSection(key.Value):
			r.section(key.Value, value)
		case name == "" || name == brokerSection:
			r.setting(key.Value, key.Line, value)
		default:
			r.setting(name+"."+key.Value, key.Line, value)
		}
	}
}

func (r *fileReader) setting(path string, line int, value *yaml.Node) {
	text := value.Value
	switch value.Kind {
	case yaml.MappingNode:
		r.fault(line, "%s: unknown section%s", path, didYouMean(path))
		return
	case yaml.SequenceNode:
		var items []string
		for _, item := range value.Content {
			items = append(items, item.Value)
		}
		text = strings.Join(items, ",")
	}
	if err := r.config.set(path, text, fmt.Sprintf("%s line %d", filepath.Base(r.file), line)); err != nil {
		r.fault(line, "%v", err)
	}
}

func isSection(name string) bool {
	return name == brokerSection ||
		slices.ContainsFunc(nodeSettings(), func(s nodeSetting) bool { return strings.HasPrefix(s.path, name+".") })
}

// writeYAML writes the configuration as a file that readFile accepts: everything that is not the default.
func (c *nodeConfig) writeYAML(w io.Writer) error {
	sections := map[string]*yaml.Node{}
	root := &yaml.Node{Kind: yaml.MappingNode}
	add := func(section, key, value string) {
		if sections[section] == nil {
			sections[section] = &yaml.Node{Kind: yaml.MappingNode}
			root.Content = append(root.Content, scalar(section), sections[section])
		}
		sections[section].Content = append(sections[section].Content, scalar(key), scalar(value))
	}
	for _, s := range nodeSettings() {
		if v := s.get(c); v != s.fallback || s.path == "node.id" {
			section, key, _ := strings.Cut(s.path, ".")
			add(section, key, v)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.Static)) {
		add(brokerSection, key, c.Static[key])
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	defer enc.Close()
	return enc.Encode(root)
}

// scalar leaves numbers and booleans bare and quotes what YAML would read as something else.
func scalar(value string) *yaml.Node {
	if _, err := strconv.ParseInt(value, 10, 64); err == nil || value == "true" || value == "false" {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
	var n yaml.Node
	n.SetString(value)
	return &n
}

// logger makes the logger that the configuration describes, and lets the broker change its level later.
func (c *nodeConfig) logger(w io.Writer) *slog.Logger {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(c.logLevel)); err != nil {
		panic("BUG: the log level was not checked: " + err.Error())
	}
	c.LogLevel, c.Version = level, softwareVersion()
	options := &slog.HandlerOptions{Level: level}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// didYouMean names the known key with the fewest edits from key, if any is near.
func didYouMean(key string) string {
	best, distance := "", len(key)/3+1
	consider := func(candidate string) {
		if d := editDistance(key, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	for _, s := range nodeSettings() {
		consider(s.path)
	}
	for d := range config.Broker().All() {
		consider(d.Name)
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
