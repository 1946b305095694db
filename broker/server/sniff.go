package server

import (
	"bytes"
	"fmt"
)

// foreign names a protocol that the first bytes of a connection belong to, "" when they may well be Kafka's. Four bytes
// suffice: as a Kafka length they would be more than 1 GiB, or, for TLS, 369 MiB and more.
func foreign(first []byte) string {
	if len(first) < 4 {
		return ""
	}
	if first[0] == 0x16 && first[1] == 0x03 && first[2] <= 0x04 {
		return "TLS"
	}
	for _, method := range []string{"GET ", "POST", "PUT ", "HEAD", "OPTI", "DELE", "PATC", "CONN", "TRAC", "PRI "} {
		if bytes.Equal(first[:4], []byte(method)) {
			return "HTTP"
		}
	}
	return ""
}

// httpAnswer tells a person with a browser or curl what they reached.
func httpAnswer() string {
	const body = "This port speaks the Kafka protocol, not HTTP. The HTTP listener has another port.\n"
	return fmt.Sprintf("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
