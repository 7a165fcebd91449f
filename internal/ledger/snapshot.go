package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"

	"github.com/klauspost/compress/zstd"

	"github.com/appgovd/appgovd/internal/event"
)

func (l *Ledger) loadSnapshots() error {
	names, err := l.o.FS.List(l.path("snapshots"))
	if err != nil {
		return err
	}
	for _, name := range names {
		lsn, ok := parseSnapName(name)
		if !ok {
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

// Snapshot is Freeze and store in one, for who holds nothing meanwhile.
func (l *Ledger) Snapshot(lsn uint64, write func(io.Writer) error) error {
	store, err := l.Freeze(lsn)
	if err != nil {
		return err
	}
	return store(write)
}

// Freeze begins a snapshot of the caller's state as of frame lsn. store, which is
// called once and may be called while the ledger goes on, takes what writes that
// state and makes it durable. Two snapshots are kept.
func (l *Ledger) Freeze(lsn uint64) (store func(write func(io.Writer) error) error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.snaps); n > 0 && lsn <= l.snaps[n-1] {
		return func(func(io.Writer) error) error { return nil }, nil
	}
	if lsn != l.next-1 {
		return nil, fmt.Errorf("write snapshot: frame %d is not the newest (%d)", lsn, l.next-1)
	}
	inner, alerts := l.inner(), l.alerts
	return func(write func(io.Writer) error) error {
		err := l.keepSnapshot(lsn, alerts, inner, write)
		if err != nil {
			return fmt.Errorf("write snapshot: %w", err)
		}
		return nil
	}, nil
}

func (l *Ledger) keepSnapshot(lsn, alerts uint64, inner []byte, write func(io.Writer) error) error {
	if err := l.AwaitDurable(lsn); err != nil {
		return err
	}
	l.snapping.Lock()
	defer l.snapping.Unlock()
	if err := l.storeSnapshot(lsn, alerts, inner, write); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.snaps = append(l.snaps, lsn)
	slices.Sort(l.snaps)
	for len(l.snaps) > keepSnaps {
		if err := l.o.FS.Remove(l.path("snapshots", snapName(l.snaps[0]))); err != nil {
			return fmt.Errorf("delete old snapshot: %w", err)
		}
		l.snaps = l.snaps[1:]
	}
	l.retain()
	return nil
}

// AwaitDurable returns once frame lsn is on disk: a snapshot must never be ahead
// of the frames, whose alerts the sinks still need.
func (l *Ledger) AwaitDurable(lsn uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.last < lsn && l.fatal == nil && !l.closed {
		l.changed.Wait()
	}
	if l.last < lsn || l.fatal != nil {
		return errors.Join(l.fatal, errClosed)
	}
	return nil
}

// inner is the ledger's own part: marks and accounts, as a page frame each.
func (l *Ledger) inner() []byte {
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
	return b
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
		l.alarm("ledger_damage/"+snapName(snaps[i]), fmt.Sprintf("snapshot %s: %v; the one before it is used", snapName(snaps[i]), err), true)
		l.mu.Lock()
		l.snaps = l.snaps[:i]
		l.mu.Unlock()
		if err := l.o.FS.Rename(l.path("snapshots", snapName(snaps[i])), l.path("corrupt", snapName(snaps[i]))); err != nil {
			return fmt.Errorf("recover: %w", err)
		}
	}
	return l.frames(from, func(f *event.Frame, whole bool) error {
		if whole {
			l.mu.Lock()
			l.note(f)
			l.mu.Unlock()
		}
		return replay(f)
	})
}

func (l *Ledger) restore(lsn uint64, restore func(io.Reader) error) (err error) {
	s, err := l.openSnapshot(lsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.f.Close()) }()
	z, err := zstd.NewReader(s.body(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return err
	}
	defer z.Close()
	body := &counted{r: z}
	in := bufio.NewReader(body)
	marks, accounts, err := parseInner(in)
	if err != nil {
		return err
	}
	if err := restore(in); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if body.n != s.length {
		return errors.New("snapshot length differs")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.marks, l.accounts = marks, accounts
	l.alerts = max(l.alerts, s.alerts)
	return nil
}

func parseInner(r io.Reader) (map[string][]byte, map[string]event.Account, error) {
	marks, accounts := map[string][]byte{}, map[string]event.Account{}
	n, err := readLength(r)
	for range n {
		var size uint32
		if size, err = readLength(r); err != nil {
			break
		}
		b, readErr := io.ReadAll(io.LimitReader(r, int64(size))) // grows with what is there, not with what size claims
		if readErr != nil || len(b) < int(size) {
			err = errors.Join(errors.New("marks are cut short"), readErr)
			break
		}
		f, decodeErr := event.DecodeFrame(b)
		if err = decodeErr; err != nil {
			break
		}
		marks[f.Source], accounts[f.Source] = f.Mark, f.Account
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read marks: %w", err)
	}
	return marks, accounts, nil
}

func readLength(r io.Reader) (uint32, error) {
	var b [4]byte
	_, err := io.ReadFull(r, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

// Frames calls fn with every durable frame from lsn on, in order; one that was
// written in parts comes as a whole. What cannot be read is reported and
// skipped, and so are segments that are deleted meanwhile. It may run beside
// everything else.
func (l *Ledger) Frames(from uint64, fn func(*event.Frame) error) error {
	return l.frames(from, func(f *event.Frame, _ bool) error { return fn(f) })
}

// Packed is Frames for who does not need all of a frame decoded. A frame is good until
// fn returns.
func (l *Ledger) Packed(from uint64, fn func(*event.Packed) error) error {
	return l.walk(from, false, func(o *unpacked, _ bool) error { return fn(&o.Packed) })
}

// frames is Frames; whole is false for a frame whose last part is lost: its mark
// is not known.
func (l *Ledger) frames(from uint64, fn func(f *event.Frame, whole bool) error) error {
	return l.walk(from, true, func(o *unpacked, whole bool) error {
		f, err := o.whole()
		if err != nil {
			return err
		}
		return fn(f, whole)
	})
}

// walk gives fn every frame from from on, decoded where that is asked for.
func (l *Ledger) walk(from uint64, decode bool, fn func(o *unpacked, whole bool) error) error {
	var walks []frameWalk
	l.mu.Lock()
	for _, s := range l.segments {
		if s.last >= from && s.last >= s.first {
			walks = append(walks, frameWalk{l: l, s: s, from: from, last: l.last, end: s.synced, decode: decode, fn: fn})
		}
	}
	l.mu.Unlock()
	for i := range walks {
		w := &walks[i]
		err := w.run()
		for s := l.movedFrom(w.s); err != nil && s != nil; s = l.movedFrom(w.s) {
			w.s, w.part = s, nil
			err = w.run()
		}
		if err != nil && l.holds(w.s) {
			return err
		}
	}
	return nil
}

// movedFrom is the copy in the overflow of a segment that was moved there, nil if
// it was not.
func (l *Ledger) movedFrom(s *segment) *segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.segments {
		if other.first == s.first && other != s {
			return other
		}
	}
	return nil
}

// holds reports whether a segment was not deleted.
func (l *Ledger) holds(s *segment) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Contains(l.segments, s)
}

// First is the number of the first frame that the ledger still holds; 0 = none.
func (l *Ledger) First() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.first()
}

// first is First. Called with the lock held.
func (l *Ledger) first() uint64 {
	for _, s := range l.segments {
		if s.last >= s.first {
			return s.first
		}
	}
	return 0
}

// frameWalk reads the frames of one segment.
type frameWalk struct {
	l          *Ledger
	s          *segment
	from, last uint64
	end        int64 // of what was durable
	decode     bool  // ahead of fn
	fn         func(o *unpacked, whole bool) error
	part       *unpacked // what was read of a frame of several parts
}

// ahead is a frame that was read, or why it was not.
type ahead struct {
	off int64
	h   header
	o   *unpacked
	err error
}

// run reads frames beside fn, one or two ahead of it.
func (w *frameWalk) run() error {
	frames, stop := make(chan ahead, 1), make(chan struct{})
	go func(from uint64) {
		defer close(frames)
		w.read(from, func(a ahead) bool {
			select {
			case frames <- a:
				return a.err == nil || isRotten(a.err)
			case <-stop:
				return false
			}
		})
	}(w.from)
	var err error
	for a := range frames {
		if err == nil {
			if err = w.take(a); err != nil {
				close(stop)
			}
		}
	}
	if err != nil {
		return err
	}
	return w.flush()
}

// read gives put every frame from from on, until it wants no more.
func (w *frameWalk) read(from uint64, put func(ahead) bool) {
	for off := w.skip(0); off < w.end; off = w.skip(off) {
		h, ok, err := w.l.headerAt(w.s, off)
		if err != nil {
			put(ahead{err: err})
			return
		}
		if !ok {
			continue
		}
		if h.magic == frameMagic && h.lsn >= from && h.lsn <= w.last {
			o, err := w.open(off, h)
			if err != nil && !isRotten(err) {
				err = fmt.Errorf("read segment %s: %w", w.s.name, err)
			}
			if !put(ahead{off, h, o, err}) {
				return
			}
		}
		off += headerBytes + int64(h.length)
	}
}

func (w *frameWalk) open(off int64, h header) (*unpacked, error) {
	o, err := w.l.open(w.s, off, h)
	if err == nil && w.decode {
		_, err = o.whole()
	}
	return o, err
}

func (w *frameWalk) skip(off int64) int64 {
	w.l.mu.Lock()
	defer w.l.mu.Unlock()
	return w.s.skip(off)
}

func (w *frameWalk) take(a ahead) error {
	h, o := a.h, a.o
	if h.magic == frameMagic && h.flags&flagPart == 0 {
		if err := w.flush(); err != nil {
			return err
		}
	}
	switch {
	case isRotten(a.err):
		w.l.rotten(w.s, a.off, h, a.err)
		return nil
	case a.err != nil:
		return a.err
	}
	if h.flags&flagPart != 0 && w.part != nil {
		w.part.join(o)
		o = w.part
	}
	if w.part = o; h.flags&flagMore != 0 {
		return nil
	}
	w.part, w.from = nil, h.lsn+1
	err := w.fn(o, true)
	if h.flags&flagPart == 0 { // else others lie in it
		w.l.codec.release(o)
	}
	return err
}

// flush hands out what there is of a frame whose last part is lost.
func (w *frameWalk) flush() error {
	o := w.part
	if w.part = nil; o == nil {
		return nil
	}
	return w.fn(o, false)
}

// headerAt reads the header at off; ok is false when the place is found to be
// rotten, and is to be skipped from now on.
func (l *Ledger) headerAt(s *segment, off int64) (h header, ok bool, err error) {
	if h, err = s.header(off); err == nil {
		return h, true, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.recheck(s, off) {
		return header{}, false, nil
	}
	return header{}, false, fmt.Errorf("read segment %s: %w", s.name, err)
}
