package vfs

import (
	"io"
	"io/fs"
	"math/rand/v2"
)

type Memory struct{}

func NewMemory() *Memory { return &Memory{} }

func (m *Memory) CrashClone(rng *rand.Rand) *Memory { panic("BUG: not yet") }

func (m *Memory) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	panic("BUG: not yet")
}
func (m *Memory) MkdirAll(path string, perm fs.FileMode) error { panic("BUG: not yet") }
func (m *Memory) ReadDir(path string) ([]fs.DirEntry, error)   { panic("BUG: not yet") }
func (m *Memory) Stat(name string) (fs.FileInfo, error)        { panic("BUG: not yet") }
func (m *Memory) Rename(oldName, newName string) error         { panic("BUG: not yet") }
func (m *Memory) Remove(name string) error                     { panic("BUG: not yet") }
func (m *Memory) RemoveAll(path string) error                  { panic("BUG: not yet") }
func (m *Memory) SyncDir(path string) error                    { panic("BUG: not yet") }
func (m *Memory) SyncFS(path string) error                     { panic("BUG: not yet") }
func (m *Memory) Lock(name string) (io.Closer, error)          { panic("BUG: not yet") }
func (m *Memory) FreeBytes(path string) (int64, error)         { panic("BUG: not yet") }
