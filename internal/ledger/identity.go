package ledger

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// The identity of a directory: the seed of its header checksums, the first frame
// that is written with it, and a secret. It is written once, in both slots; should
// it be lost all the same, the frames tell the seed, and the secret is made anew.

const identityName = "identity"

type identity struct {
	seed   uint32
	since  uint64
	secret [secretBytes]byte // all 0 = none was made yet
}

const secretBytes = 16

func (id identity) encode() []byte {
	return append(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, id.seed), id.since), id.secret[:]...)
}

func decodeIdentity(b []byte) (id identity, ok bool) {
	if len(b) != 12 && len(b) != 12+secretBytes {
		return id, false
	}
	id.seed, id.since = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint64(b[4:])
	copy(id.secret[:], b[12:])
	return id, true
}

// of is how the segment that begins with frame first is written.
func (id identity) of(first uint64) format {
	if first < id.since {
		return format{version: 1}
	}
	return format{version, id.seed}
}

// readIdentity gives every open segment its format. known is false when no
// frame was written with an identity so far: then the segments are of version 1.
func (l *Ledger) readIdentity() (known bool, err error) {
	b, err := peekSlots(l.o.FS, l.dir, identityName)
	if err != nil {
		return false, err
	}
	id, known := decodeIdentity(b)
	if !known {
		if id, known = l.inferIdentity(); known {
			l.alarm("ledger_damage/"+identityName, "the file identity is damaged; it is made again from the frames", true)
		} else {
			id.since = ^uint64(0)
		}
	}
	for _, s := range l.segments {
		s.format = id.of(s.first)
	}
	l.identity, l.codec.seed = id, id.seed
	return known, nil
}

// inferIdentity finds the seed in the first frames of the segments: the checksum
// of a header is known but for it.
func (l *Ledger) inferIdentity() (id identity, known bool) {
	for _, s := range l.segments {
		var b [headerBytes]byte
		if _, err := s.f.ReadAt(b[:], 0); err != nil || b[4] != version {
			continue
		}
		seed := castagnoli(b[:headerBytes-4]) ^ binary.LittleEndian.Uint32(b[headerBytes-4:])
		size, err := s.f.Size()
		if err != nil {
			continue
		}
		s.format = format{version, seed}
		if h, _, reason := s.check(0, size); reason == "" && h.lsn == s.first && h.magic == frameMagic {
			return identity{seed: seed, since: l.oldestWith(seed)}, true
		}
	}
	return id, false
}

// oldestWith is the first frame of the oldest segment that is written with seed:
// there, or behind damage, a whole frame stands.
func (l *Ledger) oldestWith(seed uint32) uint64 {
	for _, s := range l.segments {
		s.format = format{version, seed}
		if size, err := s.f.Size(); err == nil && size > 0 && s.resync(0, size, 0) >= 0 {
			return s.first
		}
	}
	return ^uint64(0)
}

// keepIdentity makes the identity durable, in both slots, before the first frame
// is written with it.
func (l *Ledger) keepIdentity(known bool) error {
	if !known {
		var seed [4]byte
		if _, err := rand.Read(seed[:]); err != nil {
			return err
		}
		l.identity = identity{seed: binary.LittleEndian.Uint32(seed[:]) | 1, since: l.next}
		l.codec.seed = l.identity.seed
	}
	if l.identity.secret == [secretBytes]byte{} {
		if _, err := rand.Read(l.identity.secret[:]); err != nil {
			return err
		}
	}
	want := l.identity.encode()
	s, slot, err := l.openSlots(l.dir, identityName)
	if err != nil {
		return err
	}
	for range 2 {
		if err == nil && (!slices.Equal(slot, want) || s.bad > 0) {
			err = s.store(want, true)
		}
	}
	if err = errors.Join(err, s.close()); err != nil {
		return fmt.Errorf("keep identity: %w", err)
	}
	return nil
}

// Secret is 16 bytes of chance that belong to the directory for good and that no
// output names: a key for hashes whose collisions nobody shall be able to make. It
// changes only where the file that holds it is lost.
func (l *Ledger) Secret() [secretBytes]byte { return l.identity.secret }
