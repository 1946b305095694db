package group

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// maxRegexBytes bounds a subscription's regular expression.
const maxRegexBytes = 4096

// resolvedRegex is a regular expression and the topics that match it. It is immutable.
type resolvedRegex struct {
	topics  []string // sorted
	version int64    // of the metadata that it was matched against; Kafka's offset of its metadata log
	millis  int64    // when
}

func (r *resolvedRegex) matches(topic string) bool {
	_, ok := slices.BinarySearch(r.topics, topic)
	return ok
}

// compileRegex reads a regular expression in RE2's syntax, which is Go's. It must match a whole name, as in Kafka.
func compileRegex(expression string) (*regexp.Regexp, error) {
	if len(expression) > maxRegexBytes {
		return nil, fmt.Errorf("longer than %d bytes", maxRegexBytes)
	}
	if _, err := regexp.Compile(expression); err != nil {
		return nil, err // what is wrong with it, not with what is put around it
	}
	return regexp.Compile(`^(?:` + expression + `)$`)
}

// resolve matches a regular expression against every topic that allowed lets through.
func (s *shard) resolve(tenant, expression string, allowed func(string) bool, now time.Time) *resolvedRegex {
	resolved := &resolvedRegex{millis: now.UnixMilli()}
	compiled, err := compileRegex(expression)
	if err != nil {
		return resolved // refused before; what the log says of it another version wrote
	}
	for name := range s.topics().Names(tenant) {
		if compiled.MatchString(name) && (allowed == nil || allowed(name)) {
			resolved.topics = append(resolved.topics, name)
		}
	}
	slices.Sort(resolved.topics)
	return resolved
}
