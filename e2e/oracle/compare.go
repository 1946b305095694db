package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is one field in which an answer differs from Kafka's, over the versions in which it does.
type Difference struct {
	File, Title, API, Step, Path string
	Kafka, Other                 string // "absent" when there is no such field, or it has its default
	Versions                     []int16
}

const absent = "absent"

// String is the form that patterns of differences.txt are matched against.
func (d Difference) String() string {
	return fmt.Sprintf("%s: %s: %s v%s: step %s: %s: %s => %s", d.File, d.Title, d.API, rangesText(d.Versions), d.Step, d.Path, d.Kafka, d.Other)
}

// Compare returns what differs between transcripts of the same instances. A difference that several versions of a
// conversation share is one.
func Compare(kafka, other []Transcript) []Difference {
	var all []Difference
	place := map[string]int{}
	for i := range kafka {
		for _, d := range compareTranscript(&kafka[i], &other[i]) {
			version := d.Versions[0]
			d.Versions = nil
			key := d.String()
			if at, ok := place[key]; ok {
				all[at].Versions = append(all[at].Versions, version)
				continue
			}
			place[key] = len(all)
			d.Versions = []int16{version}
			all = append(all, d)
		}
	}
	return all
}

func compareTranscript(kafka, other *Transcript) []Difference {
	var found []Difference
	for i, step := range kafka.Steps {
		if i >= len(other.Steps) {
			found = append(found, Difference{Step: step.Name, Path: "step", Kafka: "held", Other: absent})
			break
		}
		found = append(found, compareLines(step, other.Steps[i])...)
	}
	for i := range found {
		found[i].File, found[i].Title, found[i].API, found[i].Versions = kafka.File, kafka.Title, kafka.About.Name(), []int16{kafka.Version}
	}
	return found
}

func compareLines(kafka, other StepAnswer) []Difference {
	values := map[string]string{}
	for _, line := range other.Lines {
		values[line.Path] = line.Value
	}
	var found []Difference
	for _, line := range kafka.Lines {
		value, ok := values[line.Path]
		if !ok {
			value = absent
		}
		delete(values, line.Path)
		if value != line.Value {
			found = append(found, Difference{Step: kafka.Name, Path: line.Path, Kafka: line.Value, Other: value})
		}
	}
	for _, line := range other.Lines {
		if _, ok := values[line.Path]; ok {
			found = append(found, Difference{Step: kafka.Name, Path: line.Path, Kafka: absent, Other: line.Value})
		}
	}
	return found
}

// rangesText writes 0 1 2 5 as "0-2,5".
func rangesText(versions []int16) string {
	versions = slices.Clone(versions)
	slices.Sort(versions)
	var parts []string
	for i := 0; i < len(versions); {
		j := i
		for j+1 < len(versions) && versions[j+1] == versions[j]+1 {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(versions[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", versions[i], versions[j]))
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}
