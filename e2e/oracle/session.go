package oracle

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Target is a server that conversations are held with.
type Target struct {
	Name      string
	Address   string
	DataDir   string // where its logs are, "" when unknown
	clusterID string
	newest    map[int16]int16 // API key -> newest version this server accepts
}

func (t *Target) port() string {
	_, port, _ := net.SplitHostPort(t.Address)
	return port
}

// Instance is one conversation at one version.
type Instance struct {
	*Conversation
	About   API // the conversation's own, or one of every
	Version int16
	Suffix  string // of the names it creates
}

// Instances lists what the conversations come to, in a fixed order.
func Instances(conversations []Conversation) []Instance {
	var all []Instance
	for i := range conversations {
		c := &conversations[i]
		apis, from, to := []API{c.About}, c.From, c.To
		if c.Every {
			apis = Spoken()
		}
		for _, api := range apis {
			if c.Every {
				from, to = api.Min, api.Max
			}
			for version := from; version <= to; version++ {
				suffix := fmt.Sprintf("-%d-%d.%d", i, api.Key, version)
				all = append(all, Instance{Conversation: c, About: api, Version: version, Suffix: suffix})
			}
		}
	}
	return all
}

// Transcript is what a server said in one instance: the lines of each step, in order.
type Transcript struct {
	Instance
	Steps []StepAnswer
	Took  time.Duration
}

// StepAnswer is the outcome of one step. Steps outside their versions have none.
type StepAnswer struct {
	Name  string // the step's place and verb
	Lines []Line
}

// Session is one instance being held with one target. It is used by one goroutine.
type Session struct {
	target          *Target
	instance        Instance
	suffix          string
	connections     map[string]*connection
	topicNames      map[TopicID]string
	saved           map[string]any
	sentProducerIDs map[int64]bool
	renderer        renderer
	current         API // of the answer being rendered
}

// Hold runs the instance against the target. The error is of the script or the machinery; whatever a server says or
// fails to say is in the transcript.
func Hold(target *Target, instance Instance) (Transcript, error) {
	s := &Session{
		target: target, instance: instance, suffix: instance.Suffix, connections: map[string]*connection{},
		topicNames: map[TopicID]string{}, saved: map[string]any{}, sentProducerIDs: map[int64]bool{},
	}
	s.renderer = renderer{session: s, names: map[string]string{}, counts: map[string]int{}}
	defer s.close()
	begin := time.Now()
	transcript := Transcript{Instance: instance}
	for i := range instance.Steps {
		step := &instance.Steps[i]
		if instance.Version < step.From || instance.Version > step.UpTo {
			continue
		}
		lines, err := s.take(step)
		if err != nil {
			return transcript, fmt.Errorf("%s: %q version %d, line %d: %w", instance.File, instance.Title, instance.Version, step.Line, err)
		}
		transcript.Steps = append(transcript.Steps, StepAnswer{Name: fmt.Sprintf("%d %s", i+1, s.nameOf(step)), Lines: lines})
	}
	transcript.Took = time.Since(begin)
	return transcript, nil
}

func (s *Session) nameOf(step *Step) string {
	switch {
	case step.Send != "":
		return step.Send
	case step.Topic != nil:
		return "topic"
	case step.Produce != nil:
		return "produce"
	case step.Broken != "":
		return s.instance.About.Name() + " " + step.Broken
	case step.Raw != "":
		return "raw"
	case step.Await != "":
		return "await " + step.Await
	}
	return "wait"
}

func (s *Session) close() {
	for _, c := range s.connections {
		c.Close()
	}
}

// ordered says whether the order of lists is part of what the current API promises.
func (s *Session) ordered() bool { return s.current.Key == 1 || s.current.Key == 75 }

func (s *Session) take(step *Step) ([]Line, error) {
	switch {
	case step.Wait != 0:
		time.Sleep(step.Wait)
		return nil, nil
	case step.Topic != nil:
		return nil, s.createTopic(step.Topic)
	case step.Produce != nil:
		return nil, s.produce(step.Produce)
	case step.Await != "":
		c, ok := s.connections[step.Await]
		if !ok {
			return nil, fmt.Errorf("no connection is named %q", step.Await)
		}
		return s.answer(c, step, nil)
	case step.Broken != "":
		return s.sendBroken(step)
	case step.Raw != "":
		return s.sendRaw(step)
	}
	return s.sendRequest(step)
}

// connect returns the named connection; a new one when there is none or the server closed it.
func (s *Session) connect(name string) (*connection, error) {
	if c, ok := s.connections[name]; ok {
		return c, nil
	}
	c, err := dial(s.target.Address)
	if err == nil {
		s.connections[name] = c
	}
	return c, err
}

func (s *Session) filler() *filler {
	return &filler{suffix: s.suffix, version: s.instance.Version, saved: s.saved, topicID: s.topicIDByName}
}

func (s *Session) topicIDByName(name string) (TopicID, bool) {
	for id, n := range s.topicNames {
		if n == name {
			return id, true
		}
	}
	return TopicID{}, false
}

func (s *Session) version(api API, explicit *int16) int16 {
	switch {
	case explicit != nil:
		return *explicit
	case api == s.instance.About:
		return s.instance.Version
	}
	return min(api.Max, s.target.newest[api.Key])
}

func (s *Session) sendRequest(step *Step) ([]Line, error) {
	api, err := apiByName(step.Send)
	if err != nil {
		return nil, err
	}
	send := func() (*connection, error) {
		request := kmsg.RequestForKey(api.Key)
		request.SetVersion(s.version(api, step.Version))
		setDefaults(reflect.ValueOf(request))
		if err := s.filler().fill(reflect.ValueOf(request).Elem(), step.Body); err != nil {
			return nil, err
		}
		c, err := s.connect(step.Connection)
		if err != nil {
			return nil, err
		}
		if err := c.send(request, step.Silent); err != nil && !errors.Is(err, errClosed) {
			return nil, err
		}
		return c, nil
	}
	c, err := send()
	if err != nil || step.Later || step.Silent {
		return nil, err
	}
	return s.answer(c, step, send)
}

// answer reads the next answer of the connection and renders it. With codes to retry on, again sends the request anew.
func (s *Session) answer(c *connection, step *Step, again func() (*connection, error)) ([]Line, error) {
	for deadline := time.Now().Add(answerWithin); ; {
		response, err := c.receive(step.Within)
		if err != nil {
			delete(s.connections, step.Connection)
			c.Close()
			return []Line{{Path: "answer", Value: err.Error()}}, nil
		}
		s.learn(response)
		early, err := s.isEarly(step, response)
		if err != nil {
			return nil, err
		}
		if again != nil && early && time.Now().Before(deadline) {
			time.Sleep(50 * time.Millisecond)
			if c, err = again(); err != nil {
				return nil, err
			}
			continue
		}
		if err := s.save(step.Save, response); err != nil {
			return nil, err
		}
		s.current = API{Key: response.Key()}
		keep := ""
		if step.Keep != "" {
			keep = s.renderedName(step.Keep)
		}
		return s.renderer.render(response, keep), nil
	}
}

// isEarly says that the answer is one of those that the step is repeated on.
func (s *Session) isEarly(step *Step, response kmsg.Response) (bool, error) {
	if slices.ContainsFunc(errorCodes(reflect.ValueOf(response)), func(code int16) bool { return slices.Contains(step.Retry, code) }) {
		return true, nil
	}
	for path, want := range step.Until {
		got, found, err := valueAt(response, path)
		if err != nil {
			return false, fmt.Errorf("until %s: %w", path, err)
		}
		matches, err := regexp.MatchString("^("+want+")$", fmt.Sprint(got))
		if err != nil {
			return false, fmt.Errorf("until %s: %w", path, err)
		}
		if !found || !matches {
			return true, nil
		}
	}
	return false, nil
}

func (s *Session) renderedName(name string) string {
	return strings.ReplaceAll(s.filler().expand(name), s.suffix, "~")
}

// errorCodes collects every error code in an answer.
func errorCodes(v reflect.Value) []int16 {
	var codes []int16
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return errorCodes(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			codes = append(codes, errorCodes(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				codes = append(codes, int16(v.Field(i).Int()))
			} else if v.Type().Field(i).IsExported() {
				codes = append(codes, errorCodes(v.Field(i))...)
			}
		}
	}
	return codes
}

// learn remembers which topic ids the server gave to which names.
func (s *Session) learn(response kmsg.Response) {
	switch r := response.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range r.Topics {
			s.name(t.TopicID, t.Topic)
		}
	case *kmsg.MetadataResponse:
		for _, t := range r.Topics {
			if t.Topic != nil {
				s.name(t.TopicID, *t.Topic)
			}
		}
	}
}

func (s *Session) name(id TopicID, topic string) {
	if id != (TopicID{}) && topic != "" {
		s.topicNames[id] = topic
	}
}

func idText(id TopicID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// save keeps values of an answer for later steps. What is not there is 0: the server answered otherwise than the script
// thinks, which its transcript shows.
func (s *Session) save(paths map[string]string, response kmsg.Response) error {
	for name, path := range paths {
		value, found, err := valueAt(response, path)
		if err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
		if !found {
			value = "0"
		}
		s.saved[name] = value
	}
	return nil
}

// valueAt finds a value in an answer; a path is field names and list places joined by dots. A list may be too short for it.
func valueAt(response kmsg.Response, path string) (value any, found bool, err error) {
	v := reflect.ValueOf(response)
	for _, part := range strings.Split(path, ".") {
		v = pointedAt(v)
		if i, err := strconv.Atoi(part); err == nil && v.Kind() == reflect.Slice {
			if i >= v.Len() {
				return nil, false, nil
			}
			v = v.Index(i)
			continue
		}
		if v.Kind() != reflect.Struct || !v.FieldByName(part).IsValid() {
			return nil, false, fmt.Errorf("the answer has no %s", path)
		}
		v = v.FieldByName(part)
	}
	return pointedAt(v).Interface(), true, nil
}

func pointedAt(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	return v
}

func (s *Session) sendRaw(step *Step) ([]Line, error) {
	frame, err := hex.DecodeString(strings.ReplaceAll(s.filler().expand(step.Raw), " ", ""))
	if err != nil {
		return nil, err
	}
	c, err := s.connect(step.Connection)
	if err != nil {
		return nil, err
	}
	return s.exchangeBytes(c, step, frame, nil)
}

// exchangeBytes sends bytes that need not be a request and shows what came back: as an answer to request if it reads as
// one, else as bytes.
func (s *Session) exchangeBytes(c *connection, step *Step, frame []byte, request kmsg.Request) ([]Line, error) {
	delete(s.connections, step.Connection)
	defer c.Close()
	if _, err := c.Write(frame); err != nil {
		return []Line{{"answer", errClosed.Error()}}, nil
	}
	answer, err := c.readFrame(step.Within)
	if err != nil {
		return []Line{{"answer", err.Error()}}, nil
	}
	if request != nil {
		if response, err := decodeResponse(request, answer[4:]); err == nil {
			s.current = API{Key: response.Key()}
			return s.renderer.render(response, "~"), nil
		}
	}
	return []Line{{"answer", hex.EncodeToString(answer)}}, nil
}
