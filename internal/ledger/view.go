package ledger

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// View reads a ledger and changes nothing in it: beside a running daemon, or in a
// copy. It takes no lock. It sees the frames that were there when it was opened;
// one that is being written at that moment counts as not there.
type View struct {
	l        *Ledger
	damaged  int
	problems []Problem
}

// OpenView opens the segments of the ledger in dir, and of its overflow directory
// where that is not "", for reading. Close it.
func OpenView(dir, overflow string) (*View, error) {
	v := &View{}
	o := Options{FS: readFS{}, OverflowDir: overflow, OnAlarm: func(Alarm) { v.damaged++ }, Log: zap.NewNop(), Now: time.Now}
	o.defaults()
	v.l = &Ledger{o: o, dir: dir, alarms: map[string]bool{}, done: make(chan struct{})}
	v.l.changed = sync.NewCond(&v.l.mu)
	v.l.metrics = newMetrics(nil, v.l)
	err := v.open()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("view ledger: %w", err), v.Close())
	}
	return v, nil
}

func (v *View) open() (err error) {
	l := v.l
	if l.codec, err = newCodec(l.o.MaxFrame, l.o.Uncompressed); err != nil {
		return err
	}
	if _, err := os.Stat(l.path("segments")); err != nil {
		return err
	}
	if err := l.openSegments(true); err != nil {
		return err
	}
	if _, err := l.readIdentity(); err != nil {
		return err
	}
	live := owner(l.dir) != 0
	return l.scanSegments(func(s *segment, f findings) error {
		v.problems = append(v.problems, problemsOf(s.name, f, live)...)
		v.damaged += len(f.breaks)
		for _, d := range f.damaged {
			if !d.Torn { // what is torn may be on its way
				v.damaged++
			}
		}
		return nil
	})
}

// Frames calls fn with every frame, in order. A frame that cannot be read is
// counted as damaged and skipped. fn may keep the frame.
func (v *View) Frames(fn func(*event.Frame) error) error { return v.l.Frames(0, fn) }

// Packed is Frames for who does not need all of a frame decoded: a frame is good until
// fn returns.
func (v *View) Packed(fn func(*event.Packed) error) error { return v.l.Packed(0, fn) }

// DeadLetters calls fn for every open dead letter, oldest first.
func (v *View) DeadLetters(fn func(event.DeadLetter) error) error {
	f, err := v.l.o.FS.Open(v.l.path("deadletter", deadName), false)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { _ = f.Close() }()
	d := &deadFile{f: f}
	if _, err := d.scan(); err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	return d.each(fn)
}

// First is the number of the first frame that the ledger still holds; 0 = none.
func (v *View) First() uint64 { return v.l.First() }

// Damaged is how many parts could not be read so far.
func (v *View) Damaged() int { return v.damaged }

// Close closes the files.
func (v *View) Close() error {
	var err error
	for _, s := range v.l.segments {
		err = errors.Join(err, s.f.Close())
	}
	return err
}

// readFS is a file system that is only read.
type readFS struct{ osFS }

var errReadOnly = errors.New("the ledger is only read here")

// Open opens for reading; create fails.
func (readFS) Open(name string, create bool) (File, error) {
	if create {
		return nil, errReadOnly
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return readFile{f}, nil
}

// Rename fails.
func (readFS) Rename(string, string) error { return errReadOnly }

// Remove fails.
func (readFS) Remove(string) error { return errReadOnly }

// Mkdir fails.
func (readFS) Mkdir(string) error { return errReadOnly }

// SyncDir does nothing: nothing was changed.
func (readFS) SyncDir(string) error { return nil }

type readFile struct{ *os.File }

// Size of the file in bytes.
func (f readFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// WriteAt fails.
func (readFile) WriteAt([]byte, int64) (int, error) { return 0, errReadOnly }

// Truncate fails.
func (readFile) Truncate(int64) error { return errReadOnly }

// Allocate fails.
func (readFile) Allocate(int64) error { return errReadOnly }

// Sync does nothing: nothing was changed.
func (readFile) Sync() error { return nil }
