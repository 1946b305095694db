package group

import "github.com/millrace-io/millrace/broker/coordinator/fields"

// consumerProtocolType is the protocol type of consumers: the only one whose subscriptions are looked into.
const consumerProtocolType = "consumer"

// subscribedTopics reads the topics of a ConsumerProtocolSubscription. Every version starts with the fields of version
// 0, so that none needs to be known here.
func subscribedTopics(subscription []byte) ([]string, error) {
	r := fields.Reader{Rest: subscription}
	r.Int16() // version
	var topics []string
	for n := r.Count(2); n > 0 && r.Err == nil; n-- {
		topics = append(topics, r.Text())
	}
	return topics, r.Done("consumer subscription")
}
