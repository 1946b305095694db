package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// finding is what a probe of one address learned.
type finding struct {
	address string
	why     string // empty: a Kafka listener answered
	fix     string
}

func (f finding) ok() bool { return f.why == "" }

// whySilent is the one finding that time may cure.
const whySilent = "the connection is open, but nothing answers a Kafka request"

// unreachable explains why no bootstrap address answered, by what a survey of them found.
func unreachable(ctx context.Context, cfg *settings, cause error, survey []finding) error {
	if k := saslRefusal(cause); k != nil {
		next := "See the credentials in use: millrace profile show"
		if k != kerr.SaslAuthenticationFailed {
			next = "This listener may not ask for a user: leave out sasl.username and sasl.mechanism, or use another mechanism"
		}
		return &failure{code: exitDenied, cause: cause, message: fmt.Sprintf("connect to %s as user %s: %v\n%s", strings.Join(cfg.brokers(), ","), quote(cfg.get("sasl.username")), cause, next)}
	}
	if ctx.Err() != nil {
		return interrupted("connecting to " + strings.Join(cfg.brokers(), ","))
	}
	lines := []string{}
	fixes := []string{}
	for _, found := range survey {
		address := found.address
		if user := cfg.get("sasl.username"); found.ok() && user != "" && isNetwork(cause) {
			return &failure{code: exitDenied, cause: cause, message: fmt.Sprintf("connect to %s: the broker hung up during the login as user %s: wrong password, user or mechanism\nSee the credentials in use: millrace profile show", address, quote(user))}
		}
		if found.ok() {
			found.why = "a Kafka listener answers, but not this client: " + cause.Error()
			if cfg.get("sasl.username") == "" {
				found.fix = "the listener may want a user: set sasl.mechanism, sasl.username and a password"
			}
		}
		lines = append(lines, fmt.Sprintf("connect to %s: %s", address, found.why))
		if found.fix != "" && !contains(fixes, strings.ToUpper(found.fix[:1])+found.fix[1:]) {
			fixes = append(fixes, strings.ToUpper(found.fix[:1])+found.fix[1:])
		}
	}
	lines = append(lines, fixes...)
	lines = append(lines, fmt.Sprintf("The address comes from: %s. Look closer: millrace doctor", cfg.values["brokers"].source))
	return &failure{code: exitFailed, message: strings.Join(lines, "\n"), cause: cause}
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// probe finds out what listens at address, step by step: name, TCP, TLS, Kafka.
func probe(ctx context.Context, cfg *settings, address string) finding {
	ctx, cancel := context.WithTimeout(ctx, min(cfg.timeout(), 3*time.Second))
	defer cancel()
	f := probeSteps(ctx, cfg, address)
	if context.Cause(ctx) == errLate {
		f.why, f.fix = "no answer, while another address answers", ""
	}
	return f
}

func probeSteps(ctx context.Context, cfg *settings, address string) finding {
	f := finding{address: address}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		f.why, f.fix = dialTrouble(err)
		return f
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })() // closed, it would look as if the listener had done it
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		f.why = err.Error()
		return f
	}
	tlsConfig, err := cfg.tlsConfig()
	if err != nil {
		f.why, f.fix = err.Error(), "see the settings in use: millrace profile show"
		return f
	}
	if tlsConfig == nil {
		f.why, f.fix = askPlaintext(ctx, conn, address)
		return f
	}
	if tlsConfig.ServerName == "" {
		tlsConfig.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, tlsConfig)
	if err := secure.HandshakeContext(ctx); err != nil {
		f.why, f.fix = handshakeTrouble(err)
		return f
	}
	f.why, f.fix = askKafka(secure)
	return f
}

func dialTrouble(err error) (why, fix string) {
	var dns *net.DNSError
	var timeout net.Error
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s does not resolve (%s)", quote(dns.Name), dns.Err), "check the host name, or give addresses with --brokers HOST:PORT"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: nothing listens there", "start a broker with 'millrace dev', or say where it is with --brokers HOST:PORT"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to the host", "check the address and the network"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer to the connection attempt: the host is down, or a firewall drops packets", "check the address, the network and the firewall"
	}
	return err.Error(), ""
}

func handshakeTrouble(err error) (why, fix string) {
	var header tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &header):
		if strings.HasPrefix(string(header.RecordHeader[:]), "HTTP") {
			return httpPort()
		}
		return "the listener speaks plaintext, the settings ask for TLS", "turn TLS off: -X tls.enabled=false"
	case errors.As(err, &authority):
		return "the server's certificate is signed by an authority that is not trusted", "trust it: -X tls.ca=FILE"
	case errors.As(err, &name):
		return "the server's certificate is for another name: " + err.Error(), "connect by a name in the certificate, or set -X tls.server_name=NAME"
	case errors.As(err, &invalid):
		return "the server's certificate is not valid: " + invalid.Error(), "renew the server's certificate"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, os.ErrDeadlineExceeded), isTimeout(err):
		return "no TLS answer: the listener seems to speak plaintext, the settings ask for TLS", "turn TLS off: -X tls.enabled=false"
	}
	return "TLS handshake failed: " + err.Error(), "a listener that asks for a client certificate needs -X tls.cert=FILE -X tls.key=FILE"
}

// askPlaintext asks the Kafka question in clear; silence or a hang-up is checked for TLS.
func askPlaintext(ctx context.Context, conn net.Conn, address string) (why, fix string) {
	deadline := time.Now().Add(1500 * time.Millisecond)
	if end, ok := ctx.Deadline(); ok && end.Before(deadline) {
		deadline = end
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return err.Error(), ""
	}
	why, fix = askKafka(conn)
	if why == "" || strings.Contains(why, "HTTP") {
		return why, fix
	}
	if speaksHTTP(ctx, address) {
		return httpPort()
	}
	dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}} // only to learn whether TLS is spoken; nothing is sent
	secure, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return why, fix
	}
	secure.Close()
	return "the listener speaks TLS, the settings say plaintext", "turn TLS on: -X tls.enabled=true (and -X tls.ca=FILE for an own authority)"
}

func httpPort() (why, fix string) {
	return "this is an HTTP port, not a Kafka listener", "use the Kafka port (9092 by default)"
}

// speaksHTTP asks in HTTP, for servers that wait in silence for the end of what they take for a request.
func speaksHTTP(ctx context.Context, address string) bool {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	var head [5]byte
	if err := conn.SetDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		return false
	}
	if _, err := io.WriteString(conn, "HEAD / HTTP/1.0\r\n\r\n"); err != nil {
		return false
	}
	_, err = io.ReadFull(conn, head[:])
	return err == nil && string(head[:]) == "HTTP/"
}

// askKafka sends ApiVersions version 0, which every broker answers before authentication.
func askKafka(conn net.Conn) (why, fix string) {
	request := kmsg.NewPtrApiVersionsRequest()
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("millrace-probe")).AppendRequest(nil, request, 1)); err != nil {
		return "the connection was closed: " + err.Error(), ""
	}
	var head [8]byte
	n, err := io.ReadFull(conn, head[:])
	switch {
	case n >= 4 && string(head[:4]) == "HTTP":
		return httpPort()
	case n >= 2 && head[0] == 0x15 && head[1] == 3:
		return "the listener speaks TLS, the settings say plaintext", "turn TLS on: -X tls.enabled=true"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return whySilent, "check that this is a Kafka listener"
	case err != nil:
		return "the listener closed the connection: it does not speak Kafka, or wants TLS", "check the port, or turn TLS on: -X tls.enabled=true"
	case binary.BigEndian.Uint32(head[4:]) != 1:
		return "the answer is not Kafka's", "check that this is a Kafka listener"
	}
	return "", ""
}

// explainAdvertised probes the addresses that the cluster tells its clients to use. Empty when all of them answer.
func explainAdvertised(ctx context.Context, cfg *settings) string {
	opts, err := clientOptions(ctx, cfg)
	if err != nil {
		return ""
	}
	admin, err := kadm.NewOptClient(opts...) // a new client asks the bootstrap addresses, which are known to answer
	if err != nil {
		return ""
	}
	defer admin.Close()
	meta, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return ""
	}
	var lines []string
	for _, broker := range meta.Brokers {
		address := net.JoinHostPort(broker.Host, fmt.Sprint(broker.Port))
		if found := probe(ctx, cfg, address); !found.ok() {
			lines = append(lines, fmt.Sprintf("broker %d advertises %s: %s", broker.NodeID, address, found.why))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + fmt.Sprintf("\nThe first contact through %s worked; clients then use what the broker advertises. Set advertised.listeners to an address that this machine can reach.",
		strings.Join(cfg.brokers(), ","))
}

// saslRefusal returns the protocol error when authentication was refused.
func saslRefusal(err error) *kerr.Error {
	var k *kerr.Error
	if errors.As(err, &k) && (k == kerr.SaslAuthenticationFailed || k == kerr.UnsupportedSaslMechanism || k == kerr.IllegalSaslState) {
		return k
	}
	return nil
}

func isNetwork(err error) bool {
	var op *net.OpError
	var dial *kgo.ErrFirstReadEOF
	if err != nil && strings.Contains(err.Error(), "invalid large response size") {
		return true // what answered is no Kafka broker
	}
	return errors.As(err, &op) || errors.As(err, &dial) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
