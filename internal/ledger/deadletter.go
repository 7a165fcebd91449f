package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// deadFile is the dead letter: records {length u32, crc32c u32, dead letter},
// each synced before it counts. A record with an outcome settles an earlier one.
type deadFile struct {
	mu   sync.Mutex
	f    File
	size int64
	open []*buried // oldest first
	of   map[event.ID]*buried
	used int64 // bytes of open letters

	unsure  bool // the file took the place of another one, and its directory is not synced
	spoiled bool // it is not to be synced any more
}

// buried is where an open letter lies.
type buried struct {
	id   event.ID
	sink string
	time time.Time
	at   stretch
}

const (
	deadName = "deadletter.log"
	deadHead = 8
	deadMax  = 64 << 20 // one record: an alert with its reason
)

// openDead opens the dead letter of l. What is rotten in it is set aside; the
// letters around it stay.
func (l *Ledger) openDead() error {
	dir := l.path("deadletter")
	names, err := l.o.FS.List(dir)
	if err != nil {
		return err
	}
	exists := slices.Contains(names, deadName)
	f, err := l.o.FS.Open(l.path("deadletter", deadName), !exists)
	if err != nil {
		return err
	}
	if !exists {
		if err := l.o.FS.SyncDir(dir); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	d := &deadFile{f: f}
	whole, err := d.scan()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if bad := gaps(whole, d.size); len(bad) > 0 {
		if err := l.mendDead(d, bad); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	l.dead = d
	for _, b := range d.open {
		l.metrics.waiting.WithLabelValues(b.sink).Inc()
	}
	return nil
}

// stretch is a part of the file.
type stretch struct{ from, to int64 }

// gaps are the parts of a file of size bytes that hold no whole record.
func gaps(whole []stretch, size int64) (bad []stretch) {
	at := int64(0)
	for _, w := range append(slices.Clone(whole), stretch{size, size}) {
		if w.from > at {
			bad = append(bad, stretch{at, w.from})
		}
		at = w.to
	}
	return bad
}

// tornDead tells the end of a file that was never written whole from a rotten one: it
// is shorter than its head says, or nothing of it is there. Where the rest has the
// checksum of the head, it is the length that is rotten.
func tornDead(b []byte) bool {
	if len(b) < deadHead || !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		return true
	}
	n, sum, rest := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), b[deadHead:]
	return n <= deadMax && int64(n) > int64(len(rest)) && castagnoli(rest) != sum
}

// mendDead keeps a copy of every bad part. A bad end is cut off. Of a file that
// is rotten within, the open letters are written to a new one, which takes its
// place.
func (l *Ledger) mendDead(d *deadFile, bad []stretch) error {
	for _, b := range bad {
		content := make([]byte, b.to-b.from)
		if _, err := d.f.ReadAt(content, b.from); err != nil {
			return err
		}
		name, dir, torn := fmt.Sprintf("%s-%d", deadName, b.from), "corrupt", b.to == d.size && tornDead(content)
		if torn {
			dir = "torn"
		}
		if err := l.keep(dir, name, content); err != nil {
			return err
		}
		l.o.Log.Warn("damaged part of the dead letter kept aside", zap.Int64("offset", b.from), zap.Int("bytes", len(content)), zap.Bool("torn", torn))
		if !torn {
			l.alarm("ledger_damage/"+name, fmt.Sprintf("%d bytes of the dead letter are rotten; a copy is in corrupt/%s", len(content), name), true)
		}
	}
	if len(bad) == 1 && bad[0].to == d.size {
		d.size = bad[0].from
		return errors.Join(d.f.Truncate(d.size), d.f.Sync())
	}
	return l.rewriteDead(d)
}

// rewriteDead writes the open letters to a new file, which takes the place of the
// old one.
func (l *Ledger) rewriteDead(d *deadFile) error {
	tmp := l.path("deadletter", "new.tmp")
	_ = l.o.FS.Remove(tmp)
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return err
	}
	size := int64(0)
	places := make([]stretch, 0, len(d.open))
	for _, letter := range d.open {
		b := make([]byte, letter.at.to-letter.at.from)
		if _, err := d.f.ReadAt(b, letter.at.from); err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := f.WriteAt(b, size); err != nil {
			return errors.Join(err, f.Close())
		}
		places = append(places, stretch{size, size + int64(len(b))})
		size += int64(len(b))
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := l.o.FS.Rename(tmp, l.path("deadletter", deadName)); err != nil {
		return errors.Join(err, f.Close())
	}
	_ = d.f.Close()
	d.f, d.size, d.used, d.unsure, d.spoiled = f, size, size, true, false
	for i, letter := range d.open {
		letter.at = places[i]
	}
	return l.sureDead(d)
}

// sureDead makes the name of the file durable: before, nothing may be promised that
// only the new file holds.
func (l *Ledger) sureDead(d *deadFile) error {
	if !d.unsure {
		return nil
	}
	if err := l.o.FS.SyncDir(l.path("deadletter")); err != nil {
		return err
	}
	d.unsure = false
	return nil
}

// scan finds the whole records, also behind rotten ones, and learns which letters
// are open.
func (d *deadFile) scan() (whole []stretch, err error) {
	d.open, d.of, d.used = nil, map[event.ID]*buried{}, 0
	if d.size, err = d.f.Size(); err != nil {
		return nil, err
	}
	for off := int64(0); off < d.size; {
		v, n, err := d.read(off, d.size)
		if err != nil {
			return nil, err
		}
		if n == 0 { // no record begins here
			off++
			continue
		}
		whole = append(whole, stretch{off, off + n})
		d.learn(v, stretch{off, off + n})
		off += n
	}
	return whole, nil
}

// learn notes the record v that lies at at.
func (d *deadFile) learn(v *event.DeadLetter, at stretch) {
	id := v.Identity()
	d.forget(id)
	if v.Outcome == "" {
		b := &buried{id, v.Sink, v.Time, at}
		d.open, d.of[id], d.used = append(d.open, b), b, d.used+at.to-at.from
	}
}

// forget takes a letter out; it returns nil where there is none.
func (d *deadFile) forget(id event.ID) *buried {
	b := d.of[id]
	if b == nil {
		return nil
	}
	delete(d.of, id)
	i := slices.Index(d.open, b)
	d.open, d.used = slices.Delete(d.open, i, i+1), d.used-(b.at.to-b.at.from)
	return b
}

// read returns the record at off and its length; 0 when there is none.
func (d *deadFile) read(off, size int64) (*event.DeadLetter, int64, error) {
	var head [deadHead]byte
	if size-off < deadHead {
		return nil, 0, nil
	}
	if _, err := d.f.ReadAt(head[:], off); err != nil {
		return nil, 0, err
	}
	n := int64(binary.LittleEndian.Uint32(head[:]))
	if n == 0 || n > deadMax || size-off-deadHead < n {
		return nil, 0, nil
	}
	b := make([]byte, n)
	if _, err := d.f.ReadAt(b, off+deadHead); err != nil {
		return nil, 0, err
	}
	if castagnoli(b) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, nil
	}
	v, err := event.DecodeDeadLetter(b)
	if err != nil {
		return nil, 0, nil //nolint:nilerr // what cannot be decoded is no record: it is set aside
	}
	return v, deadHead + n, nil
}

// each calls fn for every open letter.
func (d *deadFile) each(fn func(event.DeadLetter) error) error {
	for _, b := range d.open {
		v, err := d.letter(b)
		if err == nil {
			err = fn(*v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *deadFile) letter(b *buried) (*event.DeadLetter, error) {
	v, n, err := d.read(b.at.from, d.size)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, fmt.Errorf("a record at offset %d became rotten while it was open; it is set aside at the next start", b.at.from)
	}
	v.ID = b.id
	return v, nil
}

// putDead appends a record; it is durable when nil is returned.
func (l *Ledger) putDead(v *event.DeadLetter) error {
	d := l.dead
	b := event.AppendDeadLetter(make([]byte, deadHead), v)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-deadHead))
	binary.LittleEndian.PutUint32(b[4:], castagnoli(b[deadHead:]))
	err := l.appendDead(d, b)
	if d.spoiled { // once more, to a new file
		l.o.Log.Error("cannot sync the dead letter; it is written anew", zap.Error(err))
		err = l.appendDead(d, b)
	}
	if err != nil {
		return err
	}
	at := stretch{d.size, d.size + int64(len(b))}
	d.size = at.to
	d.learn(v, at)
	return nil
}

// appendDead makes b durable behind the letters. After a sync that failed nobody
// knows what of the file is on the disk: it is never synced again.
func (l *Ledger) appendDead(d *deadFile, b []byte) error {
	if d.spoiled {
		if err := l.rewriteDead(d); err != nil {
			return err
		}
	}
	if err := l.sureDead(d); err != nil {
		return err
	}
	if _, err := d.f.WriteAt(b, d.size); err != nil {
		return errors.Join(err, d.f.Truncate(d.size)) // a part of it may be there
	}
	err := d.f.Sync()
	d.spoiled = err != nil
	return err
}

// PutDeadLetter keeps d; it is durable when nil is returned. It takes the place of
// an open letter with the same identity.
func (l *Ledger) PutDeadLetter(d event.DeadLetter) error {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	d.Outcome = ""
	known := l.dead.of[d.Identity()] != nil
	if err := l.putDead(&d); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	l.metrics.dead.WithLabelValues(d.Sink).Inc()
	if !known {
		l.metrics.waiting.WithLabelValues(d.Sink).Inc()
	}
	return nil
}

// DeadLetters calls fn for every open dead letter, oldest first.
func (l *Ledger) DeadLetters(fn func(event.DeadLetter) error) error {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	if err := l.dead.each(fn); err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}

// ErrNoDeadLetter says that no letter with that id is open.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadLetter returns one open letter.
func (l *Ledger) DeadLetter(id event.ID) (*event.DeadLetter, error) {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	b := l.dead.of[id]
	if b == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	}
	v, err := l.dead.letter(b)
	if err != nil {
		return nil, fmt.Errorf("read dead letter: %w", err)
	}
	return v, nil
}

// SettleDeadLetter ends a letter with an outcome and the reason for it. It is
// durable when nil is returned.
func (l *Ledger) SettleDeadLetter(id event.ID, outcome, reason string) error {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	b := l.dead.of[id]
	if b == nil {
		return fmt.Errorf("%w: %s", ErrNoDeadLetter, id)
	}
	if err := l.putDead(&event.DeadLetter{ID: id, Sink: b.sink, Time: l.o.Now().UTC(), Reason: reason, Outcome: outcome}); err != nil {
		return fmt.Errorf("settle dead letter: %w", err)
	}
	l.metrics.settledDead(b.sink, outcome)
	if err := l.shrinkDead(); err != nil { // it is settled all the same
		l.o.Log.Warn("the dead letter keeps what is settled", zap.Error(err))
	}
	return nil
}

// TrimDeadLetters drops letters that are older than before; it returns how many.
func (l *Ledger) TrimDeadLetters(before time.Time) (int, error) {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	d, all := l.dead, len(l.dead.open)
	d.open = slices.DeleteFunc(d.open, func(b *buried) bool {
		old := b.time.Before(before)
		if old {
			delete(d.of, b.id)
			d.used -= b.at.to - b.at.from
			l.metrics.settledDead(b.sink, event.OutcomeDropped)
		}
		return old
	})
	return all - len(d.open), l.shrinkDead()
}

// DeadLetterCount is how many letters of a sink are open.
func (l *Ledger) DeadLetterCount(sink string) int {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	n := 0
	for _, b := range l.dead.open {
		if b.sink == sink {
			n++
		}
	}
	return n
}

const deadGarbage = 1 << 20 // bytes of settled letters from which the file is written anew

// shrinkDead writes the file anew where most of it is settled.
func (l *Ledger) shrinkDead() error {
	if garbage := l.dead.size - l.dead.used; garbage < deadGarbage || garbage < l.dead.used {
		return nil
	}
	if err := l.rewriteDead(l.dead); err != nil {
		return fmt.Errorf("shrink dead letter: %w", err)
	}
	return nil
}
