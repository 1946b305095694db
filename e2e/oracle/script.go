package oracle

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Conversation is one scripted exchange, held once for every version of the API it is about.
type Conversation struct {
	File  string
	Title string
	About API   // zero with Every
	From  int16 // versions, inclusive
	To    int16
	Every bool // held for every spoken API and version
	Steps []Step
}

// Step is one thing done in a conversation. Exactly one of the verbs is set.
type Step struct {
	Line int

	// Verbs.
	Send    string        // the API to send a request of, filled from Body
	Body    *yaml.Node    // its fields
	Topic   *topicStep    // a topic to create and wait for
	Produce *produceStep  // records to append, unchecked but for success
	Broken  string        // a frame of the conversation's API that is broken in this way
	Raw     string        // bytes to send, in hex
	Await   string        // the connection whose request was sent with "later"
	Wait    time.Duration // for what only time changes

	// Circumstances.
	Connection string            // default "a"
	Version    *int16            // default: the conversation's for its own API, else the newest that both servers know
	From, UpTo int16             // versions of the conversation to which the step belongs
	Later      bool              // do not read the answer yet
	Silent     bool              // no answer is expected
	Within     time.Duration     // how long to wait for the answer
	Retry      []int16           // error codes to repeat the request on: what passes with time
	Until      map[string]string // path in the answer -> pattern that the request is repeated for: what comes with time
	Save       map[string]string // variable -> path in the answer
	Keep       string            // only list elements that have this text in a name
}

type topicStep struct {
	Name       string            `yaml:"name"`
	Partitions int32             `yaml:"partitions"`
	Configs    map[string]string `yaml:"configs"`
}

type produceStep struct {
	Topic     string      `yaml:"topic"`
	Partition int32       `yaml:"partition"`
	Batches   []batchSpec `yaml:"batches"`
}

type stepText struct {
	Topic   *topicStep           `yaml:"topic"`
	Produce *produceStep         `yaml:"produce"`
	Broken  string               `yaml:"broken"`
	Raw     string               `yaml:"raw"`
	Await   string               `yaml:"await"`
	Wait    time.Duration        `yaml:"wait"`
	On      string               `yaml:"on"`
	Version *int16               `yaml:"version"`
	For     string               `yaml:"for"`
	Later   bool                 `yaml:"later"`
	Silent  bool                 `yaml:"silent"`
	Within  time.Duration        `yaml:"within"`
	Retry   []int16              `yaml:"retry"`
	Until   map[string]string    `yaml:"until"`
	Save    map[string]string    `yaml:"save"`
	Keep    string               `yaml:"keep"`
	Rest    map[string]yaml.Node `yaml:",inline"`
}

type conversationText struct {
	It    string      `yaml:"it"`
	For   string      `yaml:"for"`
	Steps []yaml.Node `yaml:"steps"`
}

// ReadScripts reads every conversation of the files that match.
func ReadScripts(files fs.FS, pattern string) ([]Conversation, error) {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, err
	}
	var all []Conversation
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		conversations, err := parseScript(path.Base(name), text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, conversations...)
	}
	return all, nil
}

func parseScript(file string, text []byte) ([]Conversation, error) {
	var parsed []conversationText
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		return nil, err
	}
	titles := map[string]bool{}
	conversations := make([]Conversation, 0, len(parsed))
	for _, p := range parsed {
		c := Conversation{File: file, Title: p.It}
		if key := p.For + ": " + p.It; titles[key] || p.It == "" {
			return nil, fmt.Errorf("conversation %q needs a title of its own", key)
		} else {
			titles[key] = true
		}
		if err := c.readVersions(p.For); err != nil {
			return nil, fmt.Errorf("%q: %w", p.It, err)
		}
		for i := range p.Steps {
			step, err := c.readStep(&p.Steps[i])
			if err != nil {
				return nil, fmt.Errorf("%q, line %d: %w", p.It, p.Steps[i].Line, err)
			}
			c.Steps = append(c.Steps, step)
		}
		conversations = append(conversations, c)
	}
	return conversations, nil
}

// readVersions understands "every", "Metadata" and "Metadata 4-8".
func (c *Conversation) readVersions(text string) error {
	if text == "every" {
		c.Every = true
		return nil
	}
	name, versions, _ := strings.Cut(text, " ")
	api, err := apiByName(name)
	if err != nil {
		return err
	}
	c.About, c.From, c.To = api, api.Min, api.Max
	if versions != "" {
		c.From, c.To, err = versionRange(versions, api.Min, api.Max)
	}
	return err
}

func (c *Conversation) readStep(node *yaml.Node) (Step, error) {
	var text stepText
	if err := node.Decode(&text); err != nil {
		return Step{}, err
	}
	step := Step{
		Line: node.Line, Topic: text.Topic, Produce: text.Produce, Broken: text.Broken, Raw: text.Raw, Await: text.Await, Wait: text.Wait,
		Version: text.Version, From: 0, UpTo: 1 << 14, Later: text.Later, Silent: text.Silent,
		Retry: text.Retry, Until: text.Until, Save: text.Save, Keep: text.Keep,
	}
	step.Connection = cmp.Or(text.On, "a")
	step.Within = cmp.Or(text.Within, answerWithin)
	if text.For != "" {
		var err error
		if step.From, step.UpTo, err = versionRange(text.For, 0, 1<<14); err != nil {
			return Step{}, err
		}
	}
	for name, body := range text.Rest {
		if _, err := apiByName(name); err != nil {
			return Step{}, err
		}
		if step.Send != "" {
			return Step{}, fmt.Errorf("a step sends one request, not %s and %s", step.Send, name)
		}
		step.Send, step.Body = name, &body
	}
	return step, step.check()
}

func (s *Step) check() error {
	verbs := 0
	for _, set := range []bool{s.Send != "", s.Topic != nil, s.Produce != nil, s.Broken != "", s.Raw != "", s.Await != "", s.Wait != 0} {
		if set {
			verbs++
		}
	}
	if verbs != 1 {
		return fmt.Errorf("a step does one thing, this one %d", verbs)
	}
	return nil
}
