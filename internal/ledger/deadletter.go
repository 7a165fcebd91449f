package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/appgovd/appgovd/internal/event"
)

// deadFile is the dead letter: records {length u32, crc32c u32, dead letter},
// each synced before it counts.
type deadFile struct {
	mu   sync.Mutex
	f    File
	size int64
}

const deadName = "deadletter.log"

func openDead(fs FS, dir string) (*deadFile, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	exists := len(names) > 0
	f, err := fs.Open(dir+"/"+deadName, !exists)
	if err != nil {
		return nil, err
	}
	if !exists {
		if err := fs.SyncDir(dir); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	d := &deadFile{f: f}
	d.size, err = d.each(func(event.DeadLetter) error { return nil })
	return d, err
}

// each calls fn for every whole record and returns where the whole ones end.
func (d *deadFile) each(fn func(event.DeadLetter) error) (int64, error) {
	size, err := d.f.Size()
	if err != nil {
		return 0, err
	}
	off := int64(0)
	for size-off >= 8 {
		var head [8]byte
		if _, err := d.f.ReadAt(head[:], off); err != nil {
			return off, err
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if size-off-8 < n {
			break
		}
		b := make([]byte, n)
		if _, err := d.f.ReadAt(b, off+8); err != nil {
			return off, err
		}
		if castagnoli(b) != binary.LittleEndian.Uint32(head[4:]) {
			break
		}
		v, err := event.DecodeDeadLetter(b)
		if err != nil {
			return off, err
		}
		if err := fn(*v); err != nil {
			return off, err
		}
		off += 8 + n
	}
	return off, nil
}

// PutDeadLetter keeps d; it is durable when nil is returned.
func (l *Ledger) PutDeadLetter(d event.DeadLetter) error {
	b := event.AppendDeadLetter(make([]byte, 8), &d)
	binary.LittleEndian.PutUint32(b, uint32(len(b)-8))
	binary.LittleEndian.PutUint32(b[4:], castagnoli(b[8:]))
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
	if _, err := l.dead.each(fn); err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return nil
}
