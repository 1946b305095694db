//go:build e2e

package chaos

import (
	"fmt"
	"os"
)

// flipByte changes one byte of a file in place.
func flipByte(name string, position int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], position); err != nil {
		return fmt.Errorf("read %s at %d: %w", name, position, err)
	}
	b[0] ^= 0x40
	_, err = f.WriteAt(b[:], position)
	return err
}

// appendBytes writes behind the end of a file.
func appendBytes(name string, p []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(p)
	return err
}

// garble overwrites a whole file with bytes that mean nothing, or makes it a little longer than it was when it is empty.
func garble(name string) error {
	p, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if len(p) == 0 {
		p = make([]byte, 16)
	}
	for i := range p {
		p[i] = byte(i*131 + 89)
	}
	return os.WriteFile(name, p, 0o644)
}

// flipInTheMiddle changes one byte in the middle of a file.
func flipInTheMiddle(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return flipByte(name, info.Size()/2)
}

// cutInTheMiddle takes the second half of a file away.
func cutInTheMiddle(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return os.Truncate(name, info.Size()/2)
}

// zeroSector makes zeros of a sector in the first half of a file.
func zeroSector(name string) error {
	const sectorBytes = 512
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	at := info.Size() / 3 / sectorBytes * sectorBytes
	_, err = f.WriteAt(make([]byte, min(sectorBytes, info.Size()-at)), at)
	return err
}
