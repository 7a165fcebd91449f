package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// deadFile is the dead letter: records {length u32, crc32c u32, dead letter},
// each synced before it counts.
type deadFile struct {
	mu   sync.Mutex
	f    File
	size int64
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
	whole, size, err := d.scan()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	d.size = size
	if bad := gaps(whole, size); len(bad) > 0 {
		if err := l.mendDead(d, whole, bad); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	l.dead = d
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

// mendDead keeps a copy of every bad part. A torn end is cut off. Of a file that
// is rotten within, the whole letters are written to a new one, which takes its
// place.
func (l *Ledger) mendDead(d *deadFile, whole, bad []stretch) error {
	for _, b := range bad {
		content := make([]byte, b.to-b.from)
		if _, err := d.f.ReadAt(content, b.from); err != nil {
			return err
		}
		name := fmt.Sprintf("%s-%d", deadName, b.from)
		if err := l.keep("corrupt", name, content); err != nil {
			return err
		}
		l.o.Log.Warn("damaged part of the dead letter kept aside", zap.Int64("offset", b.from), zap.Int("bytes", len(content)))
		if b.to < d.size {
			l.alarm("ledger_damage/"+name, fmt.Sprintf("%d bytes of the dead letter are rotten; a copy is in corrupt/%s", len(content), name), true)
		}
	}
	if len(bad) == 1 && bad[0].to == d.size { // torn
		d.size = bad[0].from
		return errors.Join(d.f.Truncate(d.size), d.f.Sync())
	}
	return l.rewriteDead(d, whole)
}

func (l *Ledger) rewriteDead(d *deadFile, whole []stretch) error {
	tmp := l.path("deadletter", "new.tmp")
	_ = l.o.FS.Remove(tmp)
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return err
	}
	size := int64(0)
	for _, w := range whole {
		b := make([]byte, w.to-w.from)
		if _, err := d.f.ReadAt(b, w.from); err != nil {
			return errors.Join(err, f.Close())
		}
		if _, err := f.WriteAt(b, size); err != nil {
			return errors.Join(err, f.Close())
		}
		size += int64(len(b))
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := l.o.FS.Rename(tmp, l.path("deadletter", deadName)); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := l.o.FS.SyncDir(l.path("deadletter")); err != nil {
		return errors.Join(err, f.Close())
	}
	_ = d.f.Close()
	d.f, d.size = f, size
	return nil
}

// scan finds the whole records, also behind rotten ones.
func (d *deadFile) scan() (whole []stretch, size int64, err error) {
	if size, err = d.f.Size(); err != nil {
		return nil, 0, err
	}
	for off := int64(0); off < size; {
		_, n, err := d.read(off, size)
		if err != nil {
			return nil, 0, err
		}
		if n == 0 { // no record begins here
			off++
			continue
		}
		whole = append(whole, stretch{off, off + n})
		off += n
	}
	return whole, size, nil
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

// each calls fn for every record.
func (d *deadFile) each(fn func(event.DeadLetter) error) error {
	for off := int64(0); off < d.size; {
		v, n, err := d.read(off, d.size)
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("a record at offset %d became rotten while it was open; it is set aside at the next start", off)
		}
		if err := fn(*v); err != nil {
			return err
		}
		off += n
	}
	return nil
}

// PutDeadLetter keeps d; it is durable when nil is returned.
func (l *Ledger) PutDeadLetter(d event.DeadLetter) error {
	b := event.AppendDeadLetter(make([]byte, deadHead), &d)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-deadHead))
	binary.LittleEndian.PutUint32(b[4:], castagnoli(b[deadHead:]))
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	if _, err := l.dead.f.WriteAt(b, l.dead.size); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	if err := l.dead.f.Sync(); err != nil {
		return fmt.Errorf("put dead letter: %w", err)
	}
	l.dead.size += int64(len(b))
	l.metrics.dead.WithLabelValues(d.Sink).Inc()
	return nil
}

// DeadLetters calls fn for every dead letter, oldest first.
func (l *Ledger) DeadLetters(fn func(event.DeadLetter) error) error {
	l.dead.mu.Lock()
	defer l.dead.mu.Unlock()
	if err := l.dead.each(fn); err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}
