package group

// consumerProtocolType is the protocol type of consumers: the only one whose subscriptions are looked into.
const consumerProtocolType = "consumer"

// subscribedTopics reads the topics of a ConsumerProtocolSubscription. Every version starts with the fields of version
// 0, so that none needs to be known here.
func subscribedTopics(subscription []byte) ([]string, error) {
	r := reader{rest: subscription}
	r.int16() // version
	var topics []string
	for n := r.count(2); n > 0 && r.err == nil; n-- {
		topics = append(topics, r.string())
	}
	return topics, r.done("consumer subscription")
}
