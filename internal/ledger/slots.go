package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"
)

// slots is a two-slot file: 2 x 512 bytes, each {magic, length, generation,
// payload, crc32c}; writes alternate, so that a torn one leaves the other.
type slots struct {
	f          File
	generation uint64
	bad        int  // slots that held nothing good when it was opened
	begun      bool // the slot that is written second was written

	fs        FS
	dir, name string
	log       *zap.Logger
	payload   []byte // stored last
	spoiled   bool   // f is not to be synced any more
}

const (
	slotBytes = 512
	slotMagic = 0x4c534741 // "AGSL"
	slotHead  = 16
	tmpSuffix = ".tmp" // of a file that is to take the place of another
)

// openSlots opens or makes the file and returns the newest good payload, nil if
// there is none.
func (l *Ledger) openSlots(dir, name string) (*slots, []byte, error) {
	f, err := openOrMake(l.o.FS, dir, name)
	if err != nil {
		return nil, nil, err
	}
	s := &slots{f: f, fs: l.o.FS, dir: dir, name: name, log: l.o.Log}
	s.payload = s.load()
	return s, s.payload, nil
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
	s.payload = slices.Clone(payload)
	if s.spoiled {
		return s.sync()
	}
	b := slot(s.generation+1, payload)
	off := int64((s.generation+1)%2) * slotBytes
	crashPoint("slot_half", func() { _, _ = s.f.WriteAt(b[:slotBytes/2], off) })
	if _, err := s.f.WriteAt(b, off); err != nil {
		return err
	}
	s.generation++
	if !sync {
		return nil
	}
	return s.sync()
}

// begin stores payload in both slots: one that is rotten leaves the other.
func (s *slots) begin(payload []byte) error {
	err := s.store(payload, true)
	if err == nil {
		err = s.store(payload, true)
	}
	return err
}

func slot(generation uint64, payload []byte) []byte {
	le := binary.LittleEndian
	b := make([]byte, slotBytes)
	le.PutUint32(b, slotMagic)
	le.PutUint32(b[4:], uint32(len(payload)))
	le.PutUint64(b[8:], generation)
	copy(b[slotHead:], payload)
	le.PutUint32(b[slotBytes-4:], castagnoli(b[:slotBytes-4]))
	return b
}

// sync makes durable what was stored. After a sync that failed nobody knows what of
// the file is on the disk: it is never synced again, another one takes its place.
func (s *slots) sync() error {
	if s.spoiled {
		return s.renew()
	}
	err := s.f.Sync()
	if err == nil {
		return nil
	}
	s.spoiled = true
	s.log.Error("cannot sync a file; it is written anew", zap.String("file", s.name), zap.Error(err))
	if again := s.renew(); again != nil {
		return errors.Join(fmt.Errorf("sync %s: %w", s.name, err), again)
	}
	return nil
}

// renew writes what was stored to both slots of a new file, which takes the place of
// the old one.
func (s *slots) renew() error {
	name := s.dir + "/" + s.name
	tmp := name + tmpSuffix
	_ = s.fs.Remove(tmp)
	f, err := s.fs.Open(tmp, true)
	if err != nil {
		return fmt.Errorf("write %s anew: %w", s.name, err)
	}
	both := make([]byte, 0, 2*slotBytes)
	for first := s.generation + 1 + (s.generation+1)%2; len(both) < cap(both); first++ { // an even one stands first
		both = append(both, slot(first, s.payload)...)
	}
	_, err = f.WriteAt(both, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = s.fs.Rename(tmp, name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s anew: %w", s.name, err), f.Close())
	}
	_ = s.f.Close()
	s.f, s.begun, s.generation = f, true, binary.LittleEndian.Uint64(both[slotBytes+8:])
	if err := s.fs.SyncDir(s.dir); err != nil { // the next one is written anew again
		return fmt.Errorf("write %s anew: %w", s.name, err)
	}
	s.spoiled = false
	return nil
}

func (s *slots) close() error { return s.f.Close() }
