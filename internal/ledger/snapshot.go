package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/appgovd/appgovd/internal/event"
)

// A snapshot file: magic, version, lsn, number of alerts, length, crc32c of the
// rest; then zstd of {marks, accounts, state of the caller}.
const (
	snapMagic = 0x4e534741 // "AGSN"
	snapHead  = 36
	keepSnaps = 2
)

func snapName(lsn uint64) string { return fmt.Sprintf("%016x.snap", lsn) }

func (l *Ledger) loadSnapshots() error {
	names, err := l.o.FS.List(l.path("snapshots"))
	if err != nil {
		return err
	}
	for _, name := range names {
		var lsn uint64
		if n, err := fmt.Sscanf(name, "%016x.snap", &lsn); err != nil || n != 1 || name != snapName(lsn) {
			if err := l.o.FS.Remove(l.path("snapshots", name)); err != nil { // a temporary one that was never finished
				return err
			}
			continue
		}
		l.snaps = append(l.snaps, lsn)
	}
	sort.Slice(l.snaps, func(i, j int) bool { return l.snaps[i] < l.snaps[j] })
	return nil
}

// Snapshot stores the caller's state as of frame lsn, which write writes; the
// caller guarantees that the state is that of lsn. Two snapshots are kept.
func (l *Ledger) Snapshot(lsn uint64, write func(io.Writer) error) error {
	l.mu.Lock()
	if n := len(l.snaps); n > 0 && lsn <= l.snaps[n-1] {
		l.mu.Unlock()
		return nil
	}
	if lsn != l.next-1 {
		l.mu.Unlock()
		return fmt.Errorf("write snapshot: frame %d is not the newest (%d)", lsn, l.next-1)
	}
	body, alerts := l.inner(), l.alerts
	l.mu.Unlock()
	if err := write(body); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := l.awaitDurable(lsn); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	if err := l.storeSnapshot(lsn, alerts, body.Bytes()); err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snaps = append(l.snaps, lsn)
	for len(l.snaps) > keepSnaps {
		if err := l.o.FS.Remove(l.path("snapshots", snapName(l.snaps[0]))); err != nil {
			return fmt.Errorf("delete old snapshot: %w", err)
		}
		l.snaps = l.snaps[1:]
	}
	l.retain()
	return nil
}

// awaitDurable returns once frame lsn is on disk: a snapshot must never be ahead
// of the frames, whose alerts the sinks still need.
func (l *Ledger) awaitDurable(lsn uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.last < lsn && l.fatal == nil && !l.closed {
		l.changed.Wait()
	}
	if l.last < lsn {
		return errors.Join(l.fatal, errClosed)
	}
	return nil
}

// inner is the ledger's own part: marks and accounts, as a page frame each.
func (l *Ledger) inner() *bytes.Buffer {
	sources := make([]string, 0, len(l.marks))
	for s := range l.marks {
		sources = append(sources, s)
	}
	sort.Strings(sources)
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(sources)))
	for _, s := range sources {
		f := event.AppendFrame(nil, &event.Frame{Source: s, Mark: l.marks[s], Account: l.accounts[s]})
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(f))), f...)
	}
	return bytes.NewBuffer(b)
}

func (l *Ledger) storeSnapshot(lsn, alerts uint64, body []byte) error {
	packed := l.codec.enc.EncodeAll(body, nil)
	le := binary.LittleEndian
	rest := le.AppendUint64(nil, lsn)
	rest = le.AppendUint64(rest, alerts)
	rest = le.AppendUint64(rest, uint64(len(body)))
	rest = append(rest, packed...)
	b := le.AppendUint32(nil, snapMagic)
	b = le.AppendUint32(b, version)
	b = le.AppendUint32(b, castagnoli(rest))
	b = append(b, rest...)
	tmp := l.path("snapshots", "new.tmp")
	_ = l.o.FS.Remove(tmp)
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := l.o.FS.Rename(tmp, l.path("snapshots", snapName(lsn))); err != nil {
		return err
	}
	return l.o.FS.SyncDir(l.path("snapshots"))
}

func (l *Ledger) readSnapshot(lsn uint64) (alerts uint64, body []byte, err error) {
	f, err := l.o.FS.Open(l.path("snapshots", snapName(lsn)), false)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, err
	}
	return parseSnapshot(b, lsn, l.codec)
}

func parseSnapshot(b []byte, lsn uint64, c *codec) (alerts uint64, body []byte, err error) {
	le := binary.LittleEndian
	if len(b) < snapHead || le.Uint32(b) != snapMagic || le.Uint32(b[4:]) != version {
		return 0, nil, errors.New("no snapshot of this version")
	}
	if le.Uint32(b[8:]) != castagnoli(b[12:]) || le.Uint64(b[12:]) != lsn {
		return 0, nil, errors.New("snapshot checksum differs")
	}
	body, err = c.dec.DecodeAll(b[snapHead:], nil)
	if err == nil && uint64(len(body)) != le.Uint64(b[28:]) {
		err = errors.New("snapshot length differs")
	}
	return le.Uint64(b[20:]), body, err
}

// Recover gives the newest good snapshot to restore (not called when there is
// none) and every frame behind it, in order, to replay. Called once, before
// the first Append. An error of restore means that the older snapshot is tried.
func (l *Ledger) Recover(restore func(io.Reader) error, replay func(*event.Frame) error) error {
	from := uint64(1)
	l.mu.Lock()
	snaps := append([]uint64(nil), l.snaps...)
	l.mu.Unlock()
	for i := len(snaps) - 1; i >= 0; i-- {
		err := l.restore(snaps[i], restore)
		if err == nil {
			from = snaps[i] + 1
			break
		}
		l.alarm("ledger_damage", fmt.Sprintf("snapshot %s: %v; the one before it is used", snapName(snaps[i]), err), true)
		l.mu.Lock()
		l.snaps = l.snaps[:i]
		l.mu.Unlock()
		if err := l.o.FS.Rename(l.path("snapshots", snapName(snaps[i])), l.path("corrupt", snapName(snaps[i]))); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	return l.Frames(from, func(f *event.Frame) error {
		l.mu.Lock()
		l.note(f)
		l.mu.Unlock()
		return replay(f)
	})
}

func (l *Ledger) restore(lsn uint64, restore func(io.Reader) error) error {
	alerts, body, err := l.readSnapshot(lsn)
	if err != nil {
		return err
	}
	marks, accounts, rest, err := parseInner(body)
	if err != nil {
		return err
	}
	if err := restore(bytes.NewReader(rest)); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks, l.accounts = marks, accounts
	l.alerts = max(l.alerts, alerts)
	return nil
}

func parseInner(b []byte) (map[string][]byte, map[string]event.Account, []byte, error) {
	bad := errors.New("snapshot: marks are cut short")
	marks, accounts := map[string][]byte{}, map[string]event.Account{}
	if len(b) < 4 {
		return nil, nil, nil, bad
	}
	n := binary.LittleEndian.Uint32(b)
	b = b[4:]
	for range n {
		if len(b) < 4 {
			return nil, nil, nil, bad
		}
		size := binary.LittleEndian.Uint32(b)
		if b = b[4:]; uint64(len(b)) < uint64(size) {
			return nil, nil, nil, bad
		}
		f, err := event.DecodeFrame(b[:size])
		if err != nil {
			return nil, nil, nil, err
		}
		marks[f.Source], accounts[f.Source] = f.Mark, f.Account
		b = b[size:]
	}
	return marks, accounts, b, nil
}

// Frames calls fn with every durable frame from lsn on, in order. A frame whose
// payload cannot be decoded is reported and skipped.
func (l *Ledger) Frames(from uint64, fn func(*event.Frame) error) error {
	l.mu.Lock()
	segments := append([]*segment(nil), l.segments...)
	last := l.last
	l.mu.Unlock()
	for _, s := range segments {
		if s.last < from || s.last < s.first {
			continue
		}
		if err := l.framesOf(s, from, last, fn); err != nil {
			return err
		}
	}
	return nil
}

func (l *Ledger) framesOf(s *segment, from, last uint64, fn func(*event.Frame) error) error {
	l.mu.Lock()
	end := s.synced
	l.mu.Unlock()
	for off := s.skip(0); off < end; off = s.skip(off) {
		var b [headerBytes]byte
		if _, err := s.f.ReadAt(b[:], off); err != nil {
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		h, err := parseHeader(b[:])
		if err != nil {
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if h.magic == frameMagic && h.lsn >= from && h.lsn <= last {
			f, err := l.readFrame(s, off, h)
			if err != nil {
				return fmt.Errorf("read segment %s: %w", s.name, err)
			}
			if err := fn(f); err != nil {
				return err
			}
		}
		off += headerBytes + int64(h.length)
	}
	return nil
}
