package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// The keys under which hashicorp/raft keeps its term and vote.
var (
	keyCurrentTerm  = []byte("CurrentTerm")
	keyLastVoteTerm = []byte("LastVoteTerm")
	keyLastVoteCand = []byte("LastVoteCand")
)

// ErrLocked says that another running process uses the directory.
var ErrLocked = errors.New("the metadata directory is in use by another running process")

const (
	stateFile     = "quorum-state"
	stateMagic    = "MRQUORUM"
	stateVersion  = 2
	stateSlotSize = 512 // a sector: one write of it is whole or not there
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// identity is whose data a directory holds. It never changes, but that the cluster becomes known.
type identity struct {
	nodeID      int32
	clusterID   string   // "": a member to be, whose log is not made yet
	directoryID [16]byte // zeros: made by a release that had none
}

// isZero says that nothing is known of the directory.
func (id identity) isZero() bool { return id == identity{} }

// stateFileStore keeps identity, term and vote in one file of three sectors: the identity, and two slots that are written
// in turn, the newer valid one counting. An election is one fsync instead of the six that three transactions of the log's
// store take. The file is locked for as long as it is open.
type stateFileStore struct {
	file     *os.File
	identity identity // fixed after openStateFile; zero when the file is new

	solo *atomic.Bool // this node is the only voter

	mu       sync.Mutex // guards the rest: hashicorp/raft sets the term of a heartbeat beside its loop, which may be voting
	sequence uint64     // of the slot written last
	term     uint64
	voteTerm uint64
	vote     []byte
}

func openStateFile(path string, solo *atomic.Bool) (*stateFileStore, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	s := &stateFileStore{file: file, solo: solo}
	if err := s.load(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

func (s *stateFileStore) load() error {
	if err := unix.Flock(int(s.file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			return ErrLocked
		}
		return fmt.Errorf("lock %s: %w", s.file.Name(), err)
	}
	p := make([]byte, 3*stateSlotSize)
	n, err := s.file.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %s: %w", s.file.Name(), err)
	}
	return s.decode(p[:n])
}

// decode reads the file's content; an identity that is not whole means a first start that was cut off, which the caller
// may begin again as long as there is no log.
func (s *stateFileStore) decode(p []byte) error {
	if len(p) < len(stateMagic)+1 || string(p[:len(stateMagic)]) != stateMagic {
		return nil
	}
	if v := p[len(stateMagic)]; v > stateVersion {
		return fmt.Errorf("metadata directory has format version %d, this release knows versions up to %d: it was written by a newer release", v, stateVersion)
	}
	header, ok := checked(p, 0)
	if !ok {
		return nil
	}
	body := header[len(stateMagic)+1:]
	length := int(body[4])
	s.identity = identity{nodeID: int32(binary.LittleEndian.Uint32(body)), clusterID: string(body[5 : 5+length])}
	if p[len(stateMagic)] >= 2 {
		copy(s.identity.directoryID[:], body[5+length:])
	}
	for slot := 1; slot <= 2; slot++ {
		body, ok := checked(p, slot)
		if sequence := binary.LittleEndian.Uint64(body); ok && sequence > s.sequence {
			s.sequence = sequence
			s.term, s.voteTerm = binary.LittleEndian.Uint64(body[8:]), binary.LittleEndian.Uint64(body[16:])
			s.vote = append([]byte(nil), body[25:25+int(body[24])]...)
		}
	}
	return nil
}

// checked returns the content of a sector and whether its checksum holds. The content is always of full length.
func checked(p []byte, slot int) ([]byte, bool) {
	sector := make([]byte, stateSlotSize)
	if len(p) > slot*stateSlotSize {
		copy(sector, p[slot*stateSlotSize:])
	}
	body := sector[:stateSlotSize-4]
	return body, crc32.Checksum(body, castagnoli) == binary.LittleEndian.Uint32(sector[stateSlotSize-4:])
}

func sealed(body []byte) []byte {
	sector := make([]byte, stateSlotSize)
	copy(sector, body)
	binary.LittleEndian.PutUint32(sector[stateSlotSize-4:], crc32.Checksum(sector[:stateSlotSize-4], castagnoli))
	return sector
}

// create writes the identity and the term of the log's first entries, and makes both durable.
func (s *stateFileStore) create(id identity, term uint64) error {
	header := append([]byte(stateMagic), stateVersion)
	header = binary.LittleEndian.AppendUint32(header, uint32(id.nodeID))
	header = append(header, byte(len(id.clusterID)))
	header = append(header, id.clusterID...)
	header = append(header, id.directoryID[:]...)
	if _, err := s.file.WriteAt(sealed(header), 0); err != nil {
		return fmt.Errorf("write %s: %w", s.file.Name(), err)
	}
	s.identity = id
	s.term = term
	return s.writeSlot()
}

// writeSlot makes term and vote durable, over the older slot. It is called with mu held, or before anybody else knows s.
func (s *stateFileStore) writeSlot() error {
	sequence := s.sequence + 1
	body := binary.LittleEndian.AppendUint64(nil, sequence)
	body = binary.LittleEndian.AppendUint64(body, s.term)
	body = binary.LittleEndian.AppendUint64(body, s.voteTerm)
	body = append(body, byte(len(s.vote)))
	body = append(body, s.vote...)
	if _, err := s.file.WriteAt(sealed(body), int64(1+sequence%2)*stateSlotSize); err != nil {
		return fmt.Errorf("write %s: %w", s.file.Name(), err)
	}
	if err := s.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", s.file.Name(), err)
	}
	s.sequence = sequence
	return nil
}

// Set keeps the vote. hashicorp/raft sets the vote's term just before, so both become durable here, before the vote is
// given.
func (s *stateFileStore) Set(key, value []byte) error {
	if string(key) != string(keyLastVoteCand) {
		return fmt.Errorf("quorum state has no key %q", key)
	}
	if len(value) > 255 {
		return fmt.Errorf("candidate address of %d bytes is too long", len(value))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.vote = append([]byte(nil), value...)
	return s.writeSlot()
}

// Get returns the vote.
func (s *stateFileStore) Get(key []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(key) != string(keyLastVoteCand) || s.vote == nil {
		return nil, errKeyNotFound
	}
	return s.vote, nil
}

// SetUint64 keeps the current term, durably, or the term of the vote, which becomes durable with the vote: a term without
// its vote, lost in a crash, is a vote that was not given. The term of an only voter waits for its vote, too: there is
// nobody else to whom it could be promised in between.
func (s *stateFileStore) SetUint64(key []byte, value uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(key) {
	case string(keyCurrentTerm):
		if value <= s.term {
			return nil // as at every start, when the term just read is set again; a promise is never taken back
		}
		s.term = value
		if s.solo.Load() {
			return nil
		}
		return s.writeSlot()
	case string(keyLastVoteTerm):
		s.voteTerm = value
		return nil
	}
	return fmt.Errorf("quorum state has no key %q", key)
}

// GetUint64 returns the current term or the term of the vote.
func (s *stateFileStore) GetUint64(key []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(key) {
	case string(keyCurrentTerm):
		return s.term, nil
	case string(keyLastVoteTerm):
		return s.voteTerm, nil
	}
	return 0, errKeyNotFound
}

func (s *stateFileStore) Close() error { return s.file.Close() }
