package api

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// failedAnswer tells in the form of a forwarded API that the controller could not be asked. Each row that is forwarded as a
// whole has a case here.
func failedAnswer(request kmsg.Request, code int16, message *string) kmsg.Response {
	response := request.ResponseKind()
	switch answer := response.(type) {
	case *kmsg.CreateTopicsResponse:
		for _, t := range request.(*kmsg.CreateTopicsRequest).Topics {
			topic := kmsg.NewCreateTopicsResponseTopic()
			topic.Topic, topic.ErrorCode, topic.ErrorMessage = t.Topic, code, message
			answer.Topics = append(answer.Topics, topic)
		}
	case *kmsg.DeleteTopicsResponse:
		for _, t := range askedToDelete(request.(*kmsg.DeleteTopicsRequest)) {
			answer.Topics = append(answer.Topics, kmsg.DeleteTopicsResponseTopic{
				Topic: t.Topic, TopicID: t.TopicID, ErrorCode: code, ErrorMessage: message,
			})
		}
	case *kmsg.CreatePartitionsResponse:
		for _, t := range request.(*kmsg.CreatePartitionsRequest).Topics {
			answer.Topics = append(answer.Topics, kmsg.CreatePartitionsResponseTopic{Topic: t.Topic, ErrorCode: code, ErrorMessage: message})
		}
	case *kmsg.ElectLeadersResponse:
		failedElections(request.(*kmsg.ElectLeadersRequest), answer, code, message)
	case *kmsg.AlterPartitionAssignmentsResponse:
		failedReassignments(request.(*kmsg.AlterPartitionAssignmentsRequest), answer, code, message)
	case *kmsg.ListPartitionReassignmentsResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	case *kmsg.UpdateFeaturesResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	case *kmsg.UnregisterBrokerResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	case *kmsg.AddRaftVoterResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	case *kmsg.RemoveRaftVoterResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	case *kmsg.DescribeQuorumResponse:
		answer.ErrorCode, answer.ErrorMessage = code, message
	default:
		return nil // closes the connection
	}
	return response
}

// says reports whether an error code is anywhere in an answer.
func says(answer kmsg.Response, code int16) bool {
	return answer != nil && saysIn(reflect.ValueOf(answer).Elem(), code)
}

func saysIn(v reflect.Value, code int16) bool {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" && v.Field(i).Int() == int64(code) || saysIn(v.Field(i), code) {
				return true
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() != reflect.Struct {
			return false
		}
		for i := range v.Len() {
			if saysIn(v.Index(i), code) {
				return true
			}
		}
	}
	return false
}
