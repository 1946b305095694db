package peer

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The bytes of a handshake; broker/CLUSTER.md draws them. All lengths are fixed or one byte, so that what a stranger may
// make this side read is less than 400 bytes.
const (
	magic          = "MRPEER"
	version        = 1
	nonceBytes     = 16
	offerBytes     = len(magic) + 1 + nonceBytes
	partyBytes     = 4 + 16
	helloTail      = 2*partyBytes + nonceBytes + sha256.Size // after the cluster id
	refusedOther   = 1                                       // codes of a refusal: node or directory is another one
	refusedToken   = 2
	refusedHello   = 3 // it could not be understood
	refusedCluster = 4
)

// errNotHandshake says that the other end speaks something else.
var errNotHandshake = errors.New("the other end does not speak Millrace's inter-broker protocol")

// hello is what the dialer says of itself and of whom it wants.
type hello struct {
	purpose Purpose
	from    Identity // ClusterID is that of both
	to      Identity
	nonce   [nonceBytes]byte // the acceptor proves with it that it knows the token, too
}

// appendSigned appends the part of a hello that its MAC covers.
func (h *hello) appendSigned(p []byte) []byte {
	p = append(p, byte(h.purpose), byte(len(h.from.ClusterID)))
	p = append(p, h.from.ClusterID...)
	p = appendParty(p, h.from)
	p = appendParty(p, h.to)
	return append(p, h.nonce[:]...)
}

func appendParty(p []byte, id Identity) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(id.NodeID))
	return append(p, id.DirectoryID[:]...)
}

func party(p []byte) (id Identity) {
	id.NodeID = int32(binary.BigEndian.Uint32(p))
	copy(id.DirectoryID[:], p[4:])
	return id
}

// sign makes the proof that whoever said p, in answer to nonce, knows the token.
func sign(token string, nonce, p []byte) []byte {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write(nonce)
	mac.Write(p)
	return mac.Sum(nil)
}

// readHello reads a hello and not one byte more. It says whether the MAC proves the token.
func readHello(r io.Reader, token string, nonce []byte) (h hello, proven bool, err error) {
	signed, err := readNamed(r, helloTail)
	if err != nil {
		return hello{}, false, err
	}
	mac := signed[len(signed)-sha256.Size:]
	signed = signed[:len(signed)-sha256.Size]
	h.purpose = Purpose(signed[0])
	rest := signed[2+int(signed[1]):]
	h.from, h.to = party(rest), party(rest[partyBytes:])
	h.from.ClusterID = string(signed[2 : 2+int(signed[1])])
	h.to.ClusterID = h.from.ClusterID
	copy(h.nonce[:], rest[2*partyBytes:])
	return h, hmac.Equal(mac, sign(token, nonce, signed)), nil
}

// readNamed reads a byte, a cluster id with its length, and tail bytes.
func readNamed(r io.Reader, tail int) ([]byte, error) {
	p := make([]byte, 2, 2+maxClusterIDBytes+tail)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, err
	}
	if p[1] > maxClusterIDBytes {
		return nil, fmt.Errorf("%w: a cluster id of %d bytes", errNotHandshake, p[1])
	}
	p = p[:2+int(p[1])+tail]
	_, err := io.ReadFull(r, p[2:])
	return p, err
}

// appendWelcome appends the acceptor's consent.
func appendWelcome(p []byte, self Identity, token string, nonce []byte) []byte {
	start := len(p)
	p = append(p, 0, byte(len(self.ClusterID)))
	p = append(p, self.ClusterID...)
	p = appendParty(p, self)
	return append(p, sign(token, nonce, p[start:])...)
}

// appendRefusal appends the acceptor's refusal.
func appendRefusal(p []byte, code byte, reason string) []byte {
	reason = reason[:min(len(reason), maxReasonBytes)]
	p = append(p, code, byte(len(reason)))
	return append(p, reason...)
}

// readAnswer reads what the acceptor answered and not one byte more.
func readAnswer(r io.Reader, token string, nonce []byte) (Identity, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Identity{}, err
	}
	if head[0] != 0 {
		reason := make([]byte, head[1])
		if _, err := io.ReadFull(r, reason); err != nil {
			return Identity{}, err
		}
		switch head[0] {
		case refusedToken:
			return Identity{}, fmt.Errorf("%w: %w", ErrRefused, errToken)
		case refusedCluster:
			return Identity{}, fmt.Errorf("%w: %w", ErrRefused, otherCluster(reason))
		}
		return Identity{}, fmt.Errorf("%w: %q", ErrRefused, reason)
	}
	if head[1] > maxClusterIDBytes {
		return Identity{}, fmt.Errorf("%w: a cluster id of %d bytes", errNotHandshake, head[1])
	}
	p := make([]byte, int(head[1])+partyBytes+sha256.Size)
	if _, err := io.ReadFull(r, p); err != nil {
		return Identity{}, err
	}
	signed := append(head[:], p[:len(p)-sha256.Size]...)
	if !hmac.Equal(p[len(p)-sha256.Size:], sign(token, nonce, signed)) {
		return Identity{}, fmt.Errorf("%w: it does not know this cluster's token", ErrRefused)
	}
	id := party(p[head[1]:])
	id.ClusterID = string(p[:head[1]])
	return id, nil
}

// greet is the dialer's side of a handshake.
func greet(conn net.Conn, purpose Purpose, self, to Identity, token string) (Identity, error) {
	offer := make([]byte, offerBytes)
	if _, err := io.ReadFull(conn, offer); err != nil {
		return Identity{}, err
	}
	if string(offer[:len(magic)]) != magic {
		return Identity{}, errNotHandshake
	}
	if v := offer[len(magic)]; v != version {
		return Identity{}, fmt.Errorf("%w: it speaks version %d of the handshake, this release %d", ErrRefused, v, version)
	}
	h := hello{purpose: purpose, from: self, to: to}
	_, _ = rand.Read(h.nonce[:]) // never fails
	p := h.appendSigned(nil)
	p = append(p, sign(token, offer[len(magic)+1:], p)...)
	if _, err := conn.Write(p); err != nil {
		return Identity{}, err
	}
	other, err := readAnswer(conn, token, h.nonce[:])
	if err != nil {
		return Identity{}, err
	}
	return other, checkOther(self, to, other)
}

// checkOther says why who answered is not whom the dialer wanted. An acceptor has checked the same.
func checkOther(self, want, got Identity) error {
	switch {
	case self.ClusterID != "" && got.ClusterID != "" && self.ClusterID != got.ClusterID:
		return fmt.Errorf("%w: %w", ErrRefused, otherCluster(fmt.Sprintf("it belongs to cluster %s, this node to %s", got.ClusterID, self.ClusterID)))
	case want.NodeID >= 0 && want.NodeID != got.NodeID:
		return fmt.Errorf("%w: it is node %d, not %d", ErrRefused, got.NodeID, want.NodeID)
	case want.DirectoryID != [16]byte{} && want.DirectoryID != got.DirectoryID:
		return fmt.Errorf("%w: node %d has another directory than the member of that id", ErrRefused, got.NodeID)
	}
	return nil
}

func newOffer() []byte {
	offer := append(make([]byte, 0, offerBytes), magic...)
	return append(offer, version)[:offerBytes]
}

// receive is the acceptor's side of a handshake.
func receive(conn net.Conn, self Identity, token string) (hello, error) {
	offer := newOffer()
	nonce := offer[len(magic)+1:]
	_, _ = rand.Read(nonce) // never fails
	if _, err := conn.Write(offer); err != nil {
		return hello{}, err
	}
	h, proven, err := readHello(conn, token, nonce)
	if err != nil {
		return hello{}, err
	}
	if code, reason := judge(self, h, proven); reason != "" {
		_, err := conn.Write(appendRefusal(nil, code, reason))
		return h, errors.Join(fmt.Errorf("%w: %s", ErrRefused, reason), err)
	}
	_, err = conn.Write(appendWelcome(nil, self, token, h.nonce[:]))
	return h, err
}

// judge says why a hello is refused; "" when it is not. Who does not know the token is told nothing else.
func judge(self Identity, h hello, proven bool) (code byte, reason string) {
	switch {
	case !proven:
		return refusedToken, errToken.Error()
	case h.purpose < PurposeKafka || h.purpose > PurposeLifeline:
		return refusedHello, fmt.Sprintf("purpose %d is not known here", h.purpose)
	case h.purpose != PurposeJoin && (h.from.ClusterID == "" || self.ClusterID == ""):
		return refusedOther, "one of the two nodes does not belong to a cluster yet"
	case h.from.ClusterID != "" && self.ClusterID != "" && h.from.ClusterID != self.ClusterID:
		return refusedCluster, fmt.Sprintf("this is cluster %s, not %s", self.ClusterID, h.from.ClusterID)
	case h.to.NodeID >= 0 && h.to.NodeID != self.NodeID:
		return refusedOther, fmt.Sprintf("this is node %d, not %d", self.NodeID, h.to.NodeID)
	case h.to.DirectoryID != [16]byte{} && h.to.DirectoryID != self.DirectoryID:
		return refusedOther, fmt.Sprintf("node %d has another directory now", self.NodeID)
	}
	return 0, ""
}
