package raft

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	hraft "github.com/hashicorp/raft"
)

// Member names a member of the quorum: a node with one metadata directory. The same node with another directory is
// another member, which has no memory of what the first one promised.
type Member struct {
	NodeID      int32
	DirectoryID [16]byte // zeros: of a release that had none; such a node is alone
	Address     string   // where other nodes reach it; "": nowhere, it is alone
}

// maxAddressBytes bounds Address: a vote is kept as a server address, in one sector.
const maxAddressBytes = 200

func (m Member) validate() error {
	if m.NodeID < 0 || m.DirectoryID == [16]byte{} || m.Address == "" || len(m.Address) > maxAddressBytes {
		return fmt.Errorf("%d@%s is not a member of a quorum of several nodes", m.NodeID, m.Address)
	}
	return nil
}

// serverID is the member's name in Raft: nodeID/directoryID.
func (m Member) serverID() hraft.ServerID {
	id := strconv.Itoa(int(m.NodeID))
	if m.DirectoryID != [16]byte{} {
		id += "/" + base64.RawURLEncoding.EncodeToString(m.DirectoryID[:])
	}
	return hraft.ServerID(id)
}

// serverAddress is nodeID/directoryID@address, so that who dials it knows whom it wants.
func (m Member) serverAddress() hraft.ServerAddress {
	if m.DirectoryID == [16]byte{} {
		return hraft.ServerAddress(m.serverID())
	}
	return hraft.ServerAddress(string(m.serverID()) + "@" + m.Address)
}

var errBadMember = errors.New("not the name of a member")

func parseMember(address hraft.ServerAddress) (m Member, err error) {
	id, at, _ := strings.Cut(string(address), "@")
	node, directory, named := strings.Cut(id, "/")
	n, err := strconv.ParseInt(node, 10, 32)
	if err != nil {
		return Member{}, fmt.Errorf("%q: %w", address, errBadMember)
	}
	m.NodeID, m.Address = int32(n), at
	if !named {
		return m, nil
	}
	p, err := base64.RawURLEncoding.DecodeString(directory)
	if err != nil || len(p) != len(m.DirectoryID) {
		return Member{}, fmt.Errorf("%q: %w", address, errBadMember)
	}
	copy(m.DirectoryID[:], p)
	return m, nil
}

// memberOf is the member that a server of the configuration is.
func memberOf(s hraft.Server) Member {
	m, err := parseMember(s.Address)
	if err != nil {
		m.NodeID = nodeID(s.ID)
	}
	return m
}

// nodeID returns the node of a server id, -1 for none.
func nodeID(id hraft.ServerID) int32 {
	node, _, _ := strings.Cut(string(id), "/")
	n, err := strconv.ParseInt(node, 10, 32)
	if err != nil {
		return -1
	}
	return int32(n)
}
