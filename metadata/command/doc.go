// Package command is the records of the metadata log: what they say, their bytes, and how each changes an image.
//
// One entry of the Raft log is a list of groups; a group is the commands of one request and applies whole or not at all:
//
//	version | groups | { commands | { type | version | length | body } ... } ...
//
// It owns the format (DESIGN.md) and the meaning of each record. It does not decide which records a request turns into
// (package controller) nor how they reach the other voters (package raft).
//
// Invariants: a type number is never used again for something else; a record's version grows when its body changes and
// old versions stay readable for ever; a record of an unknown type or version is an error that names it, so that an old
// binary stops instead of leaving out what it does not understand; applying never panics, and a group that does not apply
// is a refusal that every node records alike.
package command
