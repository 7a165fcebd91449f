package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// slots is a two-slot file: 2 x 512 bytes, each {magic, length, generation,
// payload, crc32c}; writes alternate, so that a torn one leaves the other.
type slots struct {
	f          File
	generation uint64
	bad        int  // slots that held nothing good when it was opened
	begun      bool // the slot that is written second was written
}

const (
	slotBytes = 512
	slotMagic = 0x4c534741 // "AGSL"
	slotHead  = 16
)

// openSlots opens or makes the file and returns the newest good payload, nil if
// there is none.
func openSlots(fs FS, dir, name string) (*slots, []byte, error) {
	f, err := openOrMake(fs, dir, name)
	if err != nil {
		return nil, nil, err
	}
	s := &slots{f: f}
	return s, s.load(), nil
}

// openOrMake opens a file; one that it makes is in its directory durably.
func openOrMake(fs FS, dir, name string) (File, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	exists := slices.Contains(names, name)
	f, err := fs.Open(dir+"/"+name, !exists)
	if err != nil || exists {
		return f, err
	}
	if err := fs.SyncDir(dir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// peekSlots returns the newest good payload of a file and changes nothing; nil if
// there is none.
func peekSlots(fs FS, dir, name string) ([]byte, error) {
	names, err := fs.List(dir)
	if err != nil || !slices.Contains(names, name) {
		return nil, err
	}
	f, err := fs.Open(dir+"/"+name, false)
	if err != nil {
		return nil, err
	}
	s := &slots{f: f}
	return s.load(), s.close()
}

func (s *slots) load() []byte {
	var best []byte
	for i := range int64(2) {
		b := make([]byte, slotBytes)
		_, _ = s.f.ReadAt(b, i*slotBytes) // what cannot be read is no slot
		if i == 0 {
			s.begun = slices.ContainsFunc(b, func(c byte) bool { return c != 0 })
		}
		gen, payload, err := parseSlot(b)
		if err != nil {
			s.bad++
		} else if gen > s.generation {
			s.generation, best = gen, payload
		}
	}
	return best
}

func parseSlot(b []byte) (generation uint64, payload []byte, err error) {
	le := binary.LittleEndian
	if len(b) != slotBytes || le.Uint32(b) != slotMagic {
		return 0, nil, errors.New("no slot")
	}
	if castagnoli(b[:slotBytes-4]) != le.Uint32(b[slotBytes-4:]) {
		return 0, nil, errors.New("slot checksum differs")
	}
	n := le.Uint32(b[4:])
	if n > slotBytes-slotHead-4 {
		return 0, nil, errors.New("slot length")
	}
	return le.Uint64(b[8:]), b[slotHead : slotHead+n], nil
}

// store writes payload to the older slot; sync makes it durable.
func (s *slots) store(payload []byte, sync bool) error {
	if len(payload) > slotBytes-slotHead-4 {
		return fmt.Errorf("store slot: %d bytes are too many", len(payload))
	}
	le := binary.LittleEndian
	b := make([]byte, slotBytes)
	le.PutUint32(b, slotMagic)
	le.PutUint32(b[4:], uint32(len(payload)))
	le.PutUint64(b[8:], s.generation+1)
	copy(b[slotHead:], payload)
	le.PutUint32(b[slotBytes-4:], castagnoli(b[:slotBytes-4]))
	off := int64((s.generation+1)%2) * slotBytes
	crashPoint("slot_half", func() { _, _ = s.f.WriteAt(b[:slotBytes/2], off) })
	if _, err := s.f.WriteAt(b, off); err != nil {
		return err
	}
	s.generation++
	if !sync {
		return nil
	}
	return s.f.Sync()
}

func (s *slots) close() error { return s.f.Close() }
