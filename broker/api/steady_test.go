package api

import "testing"

func TestSteadyClientsAreKnownByNameAndVersion(t *testing.T) {
	for _, c := range []struct {
		software, version string
		want              bool
	}{
		{"kgo", "v1.22.2", true},
		{"apache-kafka-java", "4.3.1", true},
		{"apache-kafka-java", "3.10.0-SNAPSHOT", true},
		{"apache-kafka-java", "3.5.0", true},
		{"apache-kafka-java", "3.4.1", false},
		{"apache-kafka-java", "2.8", false},
		{"apache-kafka-java", "3", false},
		{"apache-kafka-java", "unknown", false},
		{"apache-kafka-java", "", false},
		{"librdkafka", "2.5.0", false},
		{"", "", false},
	} {
		if got := isSteady(c.software, c.version); got != c.want {
			t.Errorf("%s %s: %v", c.software, c.version, got)
		}
	}
}
