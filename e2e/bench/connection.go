package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// connection is one raw connection to a broker: frames out, frames in, nothing in between.
type connection struct {
	net.Conn
	in     *bufio.Reader
	answer []byte
	format *kmsg.RequestFormatter
}

const maxAnswerBytes = 64 << 20

func dial(address string) (*connection, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: c, in: bufio.NewReaderSize(c, 64<<10), format: kmsg.NewRequestFormatter(kmsg.FormatterClientID("millrace-bench"))}, nil
}

// receive returns the next answer without its header; it is valid until the next call.
func (c *connection) receive(flexible bool) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(c.in, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	header := 4
	if flexible {
		header = 5
	}
	if n < header || n > maxAnswerBytes {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	if cap(c.answer) < n {
		c.answer = make([]byte, n)
	}
	if _, err := io.ReadFull(c.in, c.answer[:n]); err != nil {
		return nil, err
	}
	return c.answer[header:n], nil
}

// ask sends one request and decodes its answer into response.
func (c *connection) ask(request kmsg.Request, response kmsg.Response) error {
	if _, err := c.Write(c.format.AppendRequest(nil, request, 1)); err != nil {
		return err
	}
	body, err := c.receive(response.IsFlexible())
	if err != nil {
		return err
	}
	response.SetVersion(request.GetVersion())
	return response.ReadFrom(body)
}

// createTopic makes a topic and returns once every partition has a leader.
func createTopic(ctx context.Context, address, topic string, partitions int, configs map[string]string) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Version, request.TimeoutMillis = 5, 60_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, int32(partitions), 1
	for key, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = key, kmsg.StringPtr(value)
		t.Configs = append(t.Configs, config)
	}
	request.Topics = append(request.Topics, t)
	response := kmsg.NewPtrCreateTopicsResponse()
	response.Version = 5
	if err := c.ask(request, response); err != nil {
		return fmt.Errorf("create topic %s: %w", topic, err)
	}
	if code := response.Topics[0].ErrorCode; code != 0 {
		return fmt.Errorf("create topic %s: error code %d", topic, code)
	}
	return awaitLeaders(ctx, c, topic, partitions)
}

func awaitLeaders(ctx context.Context, c *connection, topic string, partitions int) error {
	for {
		request := kmsg.NewPtrMetadataRequest()
		request.Version = 9
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &topic
		request.Topics = append(request.Topics, t)
		response := kmsg.NewPtrMetadataResponse()
		response.Version = 9
		if err := c.ask(request, response); err != nil {
			return fmt.Errorf("metadata of %s: %w", topic, err)
		}
		ready := 0
		for _, p := range response.Topics[0].Partitions {
			if p.ErrorCode == 0 && p.Leader >= 0 {
				ready++
			}
		}
		if ready == partitions {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d partitions of %s have a leader: %w", ready, partitions, topic, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}
