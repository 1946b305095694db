package main

import (
	"regexp"
	"testing"
)

func TestVersionsAreAcceptedByBrokers(t *testing.T) {
	accepted := regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`) // Kafka's ApiVersionsRequest
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "v0.0.0-20261128123421-fb0d1dfd2df3+dirty": "v0.0.0-20261128123421-fb0d1dfd2df3-dirty",
		"(devel)": "devel", "": "dev", "+": "dev", "1.0_\u00e9": "1.0",
	} {
		if got := wireVersion(version); got != want || !accepted.MatchString(got) {
			t.Errorf("%q becomes %q, want %q", version, got, want)
		}
	}
}
