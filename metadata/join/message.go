package join

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	version       = 1
	maxFrameBytes = 64 << 10
	maxTextBytes  = 255
	maxMembers    = 255
)

// ErrMalformed says that a frame is not a question or an answer.
var ErrMalformed = errors.New("not a question or an answer of a joining node")

// Party is one node: with one directory, and the cluster that it knows.
type Party struct {
	NodeID      int32
	DirectoryID [16]byte
	ClusterID   string // "": none yet
	Address     string // where others reach it
}

// Position is how far a node's log goes.
type Position struct {
	Runs                bool // it takes part in elections; false: it is still joining. In a question: and it knows no leader
	LastTerm, LastIndex uint64
}

// Kind is what a question wants.
type Kind byte

// The kinds of questions.
const (
	Ask   Kind = 0 // what do you know
	Admit Kind = 1 // make me a member
)

// Question is what a node asks another.
type Question struct {
	Kind     Kind
	From     Party
	Position Position
}

// Outcome is what became of a question to be admitted.
type Outcome byte

// The outcomes.
const (
	Told      Outcome = 0 // the question was to be told only
	Admitted  Outcome = 1
	NotLeader Outcome = 2 // ask the leader that the answer names
	Refused   Outcome = 3 // for the reason given; it may change
)

// Member is a member of the quorum.
type Member struct {
	Party // without the cluster id
	Voter bool
}

// Answer is what the other knows.
type Answer struct {
	Outcome  Outcome
	Reason   string
	From     Party
	Position Position
	LeaderID int32 // -1: none is known
	Members  []Member
	Barred   bool // it votes, but does not stand for election: its disk is full
}

// Leader returns the leader that an answer names.
func (a *Answer) Leader() (Member, bool) {
	for _, m := range a.Members {
		if m.NodeID == a.LeaderID {
			return m, true
		}
	}
	return Member{}, false
}

// AppendQuestion appends the frame of a question.
func AppendQuestion(p []byte, q Question) []byte {
	return frame(p, func(p []byte) []byte {
		p = appendParty(append(p, byte(q.Kind)), q.From)
		return appendPosition(p, q.Position)
	})
}

// AppendAnswer appends the frame of an answer.
func AppendAnswer(p []byte, a Answer) []byte {
	return frame(p, func(p []byte) []byte {
		p = appendText(append(p, byte(a.Outcome)), a.Reason)
		p = appendPosition(appendParty(p, a.From), a.Position)
		p = binary.BigEndian.AppendUint32(p, uint32(a.LeaderID))
		members := a.Members[:min(len(a.Members), maxMembers)]
		p = append(p, byte(len(members)))
		for _, m := range members {
			p = appendParty(appendBool(p, m.Voter), m.Party)
		}
		return appendBool(p, a.Barred)
	})
}

func frame(p []byte, fields func([]byte) []byte) []byte {
	start := len(p)
	p = fields(append(p, 0, 0, 0, 0, version))
	binary.BigEndian.PutUint32(p[start:], uint32(len(p)-start-4))
	return p
}

func appendParty(p []byte, x Party) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(x.NodeID))
	p = append(p, x.DirectoryID[:]...)
	return appendText(appendText(p, x.ClusterID), x.Address)
}

func appendPosition(p []byte, x Position) []byte {
	p = appendBool(p, x.Runs)
	p = binary.BigEndian.AppendUint64(p, x.LastTerm)
	return binary.BigEndian.AppendUint64(p, x.LastIndex)
}

func appendText(p []byte, s string) []byte {
	s = s[:min(len(s), maxTextBytes)]
	return append(append(p, byte(len(s))), s...)
}

func appendBool(p []byte, b bool) []byte {
	if b {
		return append(p, 1)
	}
	return append(p, 0)
}

// ReadQuestion reads the frame of a question.
func ReadQuestion(r io.Reader) (q Question, err error) {
	d, err := readFrame(r)
	if err != nil {
		return Question{}, err
	}
	q = Question{Kind: Kind(d.byte()), From: d.party(), Position: d.position()}
	return q, d.err
}

// ReadAnswer reads the frame of an answer.
func ReadAnswer(r io.Reader) (a Answer, err error) {
	d, err := readFrame(r)
	if err != nil {
		return Answer{}, err
	}
	a = Answer{Outcome: Outcome(d.byte()), Reason: d.text(), From: d.party(), Position: d.position(), LeaderID: int32(d.uint32())}
	for n := d.byte(); n > 0 && d.err == nil; n-- {
		m := Member{Voter: d.byte() == 1}
		m.Party = d.party()
		a.Members = append(a.Members, m)
	}
	if len(d.p) > 0 { // releases before it did not say
		a.Barred = d.byte() == 1
	}
	return a, d.err
}

func readFrame(r io.Reader) (*decoder, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n == 0 || n > maxFrameBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, n)
	}
	p, err := io.ReadAll(io.LimitReader(r, int64(n)))
	if err != nil {
		return nil, err
	}
	if len(p) < int(n) {
		return nil, io.ErrUnexpectedEOF
	}
	if p[0] < version { // a newer one has only fields behind those that are read here
		return nil, fmt.Errorf("%w: version %d", ErrMalformed, p[0])
	}
	return &decoder{p: p[1:]}, nil
}

// decoder reads fields; after the first that is cut off it returns zeros, and err is set.
type decoder struct {
	p   []byte
	err error
}

func (d *decoder) take(n int) []byte {
	if d.err != nil || len(d.p) < n {
		d.err = fmt.Errorf("%w: it is cut off", ErrMalformed)
		return make([]byte, n) // at most 255
	}
	field := d.p[:n]
	d.p = d.p[n:]
	return field
}

func (d *decoder) byte() byte     { return d.take(1)[0] }
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }
func (d *decoder) text() string   { return string(d.take(int(d.byte()))) }

func (d *decoder) party() (x Party) {
	x.NodeID = int32(d.uint32())
	copy(x.DirectoryID[:], d.take(16))
	x.ClusterID, x.Address = d.text(), d.text()
	return x
}

func (d *decoder) position() Position {
	return Position{Runs: d.byte() == 1, LastTerm: d.uint64(), LastIndex: d.uint64()}
}
