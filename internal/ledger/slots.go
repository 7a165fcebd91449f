package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// slots is a two-slot file: 2 x 512 bytes, each {magic, length, generation,
// payload, crc32c}; writes alternate, so that a torn one leaves the other.
type slots struct {
	f          File
	generation uint64
}

const (
	slotBytes = 512
	slotMagic = 0x4c534741 // "AGSL"
	slotHead  = 16
)

// openSlots opens or makes the file and returns the newest good payload, nil if
// there is none.
func openSlots(fs FS, dir, name string) (*slots, []byte, error) {
	path := dir + "/" + name
	names, err := fs.List(dir)
	if err != nil {
		return nil, nil, err
	}
	exists := false
	for _, n := range names {
		exists = exists || n == name
	}
	f, err := fs.Open(path, !exists)
	if err != nil {
		return nil, nil, err
	}
	if !exists {
		if err := fs.SyncDir(dir); err != nil {
			return nil, nil, errors.Join(err, f.Close())
		}
	}
	s := &slots{f: f}
	return s, s.load(), nil
}

func (s *slots) load() []byte {
	var best []byte
	for i := range int64(2) {
		b := make([]byte, slotBytes)
		if n, _ := s.f.ReadAt(b, i*slotBytes); n < slotBytes {
			continue
		}
		if gen, payload, err := parseSlot(b); err == nil && gen > s.generation {
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
