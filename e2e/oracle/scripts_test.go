package oracle

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func scripts(t *testing.T) []Conversation {
	t.Helper()
	all, err := ReadScripts(os.DirFS("testdata"), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// placeholderFiller fills requests without a server: every variable is 1 and every topic has an id.
func placeholderFiller(i Instance) *filler {
	f := &filler{suffix: i.Suffix, version: i.Version, saved: map[string]any{}, topicID: func(string) (TopicID, bool) { return unknownID, true }}
	for _, step := range i.Steps {
		for name := range step.Save {
			f.saved[name] = 1
		}
	}
	return f
}

func TestEveryRequestOfTheScriptsEncodes(t *testing.T) {
	for _, i := range Instances(scripts(t)) {
		for _, step := range i.Steps {
			if step.Send == "" {
				continue
			}
			api, err := apiByName(step.Send)
			if err != nil {
				t.Fatal(err)
			}
			request := kmsg.RequestForKey(api.Key)
			setDefaults(reflect.ValueOf(request))
			request.SetVersion(api.Max)
			if api == i.About {
				request.SetVersion(i.Version)
			}
			if err := placeholderFiller(i).fill(reflect.ValueOf(request).Elem(), step.Body); err != nil {
				t.Errorf("%s: %q, line %d: %v", i.File, i.Title, step.Line, err)
			} else if len(encodeRequest(request, 1)) == 0 {
				t.Errorf("%s: %q, line %d: nothing to send", i.File, i.Title, step.Line)
			}
		}
	}
}

func TestEverySpokenVersionHasAConversationOfItsOwn(t *testing.T) {
	sent := map[API]map[int16]bool{}
	for _, api := range Spoken() {
		sent[api] = map[int16]bool{}
	}
	for _, i := range Instances(scripts(t)) {
		for _, step := range i.Steps {
			if step.Send == i.About.Name() && step.Version == nil && i.Version >= step.From && i.Version <= step.UpTo && !i.Every {
				sent[i.About][i.Version] = true
			}
		}
	}
	for _, api := range Spoken() {
		for version := api.Min; version <= api.Max; version++ {
			if !sent[api][version] {
				t.Errorf("no conversation sends %s version %d", api.Name(), version)
			}
		}
	}
}

func TestEverySpokenVersionTakesPartInTheSweepsOfBrokenFrames(t *testing.T) {
	sweeps := map[string]int{}
	for _, i := range Instances(scripts(t)) {
		for _, step := range i.Steps {
			if step.Broken == "" {
				continue
			}
			sweeps[step.Broken]++
			frame, err := brokenFrame(i.About, i.Version, step.Broken)
			if err != nil {
				t.Fatal(err)
			}
			if whole := encodeRequest(defaultRequest(i.About, i.Version), 77); string(frame) == string(whole) && len(whole) > 0 && step.Broken != "cut by a byte" && step.Broken != "without a body" {
				t.Errorf("%s version %d is not broken by %q", i.About.Name(), i.Version, step.Broken)
			}
		}
	}
	versions := 0
	for _, api := range Spoken() {
		versions += int(api.Max-api.Min) + 1
	}
	if len(sweeps) < 6 {
		t.Errorf("there are %d sweeps", len(sweeps))
	}
	for how, n := range sweeps {
		if n != versions {
			t.Errorf("frames %s are sent %d times, for %d versions", how, n, versions)
		}
	}
}

func TestScriptsThatMakeNoSenseAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"an API nobody knows":   "- {it: x, for: Metadata, steps: [{Fly: {}}]}",
		"two requests in one":   "- {it: x, for: Metadata, steps: [{Metadata: {}, Fetch: {}}]}",
		"a step without a verb": "- {it: x, for: Metadata, steps: [{on: b}]}",
		"a version too new":     "- {it: x, for: Metadata 99, steps: []}",
		"no title":              "- {for: Metadata, steps: []}",
		"the same title twice":  "- {it: x, for: Metadata, steps: []}\n- {it: x, for: Metadata, steps: []}",
	} {
		if _, err := parseScript("x.yaml", []byte(text)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	if _, err := parseScript("x.yaml", []byte("- {it: x, for: Metadata 1-3, steps: [{Metadata: {Topics: []}}]}")); err != nil {
		t.Errorf("a plain script was refused: %v", err)
	}
}

func TestExpansionKnowsSuffixVersionVariablesAndRepetition(t *testing.T) {
	f := &filler{suffix: "-7", version: 3, saved: map[string]any{"m": "member", "generation": int32(4)}}
	for text, want := range map[string]string{
		"orders~": "orders-7", "v$v": "v3", "$m": "member", "$unknown": "$unknown", "$generation+1": "4+1", "repeat(ab, 3)": "ababab", "plain": "plain",
	} {
		if got := f.expand(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if got, err := sum("4+1", 32); err != nil || got != 5 {
		t.Errorf("4+1 is %d, %v", got, err)
	}
	if _, err := sum("four", 32); err == nil || !strings.Contains(err.Error(), "four") {
		t.Errorf("four was read as a number: %v", err)
	}
}

func TestAStepIsRepeatedUntilTheAnswerHasWhatItWaitsFor(t *testing.T) {
	answer := kmsg.NewPtrMetadataResponse()
	answer.Topics = []kmsg.MetadataResponseTopic{{ErrorCode: 3, Partitions: []kmsg.MetadataResponseTopicPartition{{}}}}
	for _, test := range []struct {
		until map[string]string
		early bool
	}{
		{nil, false},
		{map[string]string{"Topics.0.ErrorCode": "3"}, false},
		{map[string]string{"Topics.0.ErrorCode": "[35]", "Topics.0.Partitions.0.Partition": "0"}, false},
		{map[string]string{"Topics.0.ErrorCode": "0"}, true},
		{map[string]string{"Topics.0.ErrorCode": "30|33"}, true},
		{map[string]string{"Topics.0.Partitions.1.Partition": "0"}, true},
	} {
		early, err := new(Session).isEarly(&Step{Until: test.until}, answer)
		if err != nil || early != test.early {
			t.Errorf("until %v: %v, %v, want %v", test.until, early, err, test.early)
		}
	}
	for _, path := range []string{"Nothing", "Topics.0.Nothing", "Topics.0.ErrorCode.0"} {
		if _, err := new(Session).isEarly(&Step{Until: map[string]string{path: "0"}}, answer); err == nil {
			t.Errorf("%s was found in the answer", path)
		}
	}
	if early, err := new(Session).isEarly(&Step{Retry: []int16{3}}, answer); err != nil || !early {
		t.Errorf("an answer with an error to retry on is not early: %v", err)
	}
}
