package oracle

import (
	"fmt"
	"slices"
	"strings"
)

// Recordings writes transcripts as text to read: one text a script file, versions that were answered alike together.
func Recordings(transcripts []Transcript) map[string]string {
	texts := map[string]*strings.Builder{}
	for start := 0; start < len(transcripts); {
		end := start
		for end < len(transcripts) && transcripts[end].Conversation == transcripts[start].Conversation && transcripts[end].About == transcripts[start].About {
			end++
		}
		file := transcripts[start].File
		if texts[file] == nil {
			texts[file] = &strings.Builder{}
		}
		writeConversation(texts[file], transcripts[start:end])
		start = end
	}
	out := map[string]string{}
	for file, text := range texts {
		out[file] = text.String()
	}
	return out
}

func writeConversation(out *strings.Builder, versions []Transcript) {
	type group struct {
		text     string
		versions []int16
	}
	var groups []*group
	for i := range versions {
		text := transcriptText(&versions[i])
		at := slices.IndexFunc(groups, func(g *group) bool { return g.text == text })
		if at < 0 {
			groups = append(groups, &group{text: text})
			at = len(groups) - 1
		}
		groups[at].versions = append(groups[at].versions, versions[i].Version)
	}
	fmt.Fprintf(out, "== %s\n", versions[0].Title)
	for _, g := range groups {
		fmt.Fprintf(out, "-- %s v%s\n%s", versions[0].About.Name(), rangesText(g.versions), g.text)
	}
	out.WriteString("\n")
}

func transcriptText(t *Transcript) string {
	var out strings.Builder
	for _, step := range t.Steps {
		if step.Lines == nil {
			continue
		}
		fmt.Fprintf(&out, "%s\n", step.Name)
		for _, line := range step.Lines {
			fmt.Fprintf(&out, "    %s: %s\n", line.Path, line.Value)
		}
	}
	return out.String()
}
