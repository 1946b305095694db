package controller

import (
	"strconv"

	"github.com/millrace-io/millrace/metadata/config"
	"github.com/millrace-io/millrace/metadata/image"
)

// Drained returns the brokers that are to give up their replicas and leaderships: those with millrace.drain=true.
func Drained(img *image.Image) map[int32]bool {
	drained := map[int32]bool{}
	for r := range img.ConfiguredResources() {
		if r.Type != config.BrokerResource || r.Name == "" || img.ConfigOverrides(r)[drainKey] != "true" {
			continue
		}
		if id, err := strconv.ParseInt(r.Name, 10, 32); err == nil {
			drained[int32(id)] = true
		}
	}
	return drained
}

const drainKey = "millrace.drain"
