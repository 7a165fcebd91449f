// Package ledger owns the log on disk: frames appended and fsynced in groups,
// the cursors of readers, snapshots, dead letters, bounded size. What it has
// acknowledged is never lost, nothing is invented, nothing is deleted to
// recover: a torn tail is kept as a copy, a rotten frame is quarantined.
package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/event"
)

// Options of a ledger; zero values mean the defaults named.
type Options struct {
	MaxBytes      int64         // 10 GiB: when full, Reserve blocks
	SegmentBytes  int64         // 64 MiB
	MaxFrame      int           // 256 MiB before compression
	Uncompressed  bool          // payloads are written as they are, for a file system that compresses, or for speed
	History       time.Duration // how long frames stay when nobody needs them
	Log           *zap.Logger
	Metrics       prometheus.Registerer // nil = none
	Now           func() time.Time
	FS            FS            // nil = the real one
	ReaderGrace   time.Duration // how long frames are kept for a reader that is not opened any more
	OverflowDir   string        // for readers with Overflow; of this ledger alone; "" = none
	OverflowBytes int64
	OnAlarm       func(Alarm) // must return at once and must not call the ledger
}

// Alarm tells that something needs a human: a key that names what, and whether
// it began or ended.
type Alarm struct {
	Key    string // "ledger_half_full", "ledger_nearly_full", "ledger_full", "ledger_damage", "disk_full"
	Text   string
	Active bool
}

// Ledger is safe for concurrent use.
type Ledger struct {
	o        Options
	dir      string
	lockf    *os.File
	codec    *codec
	durable  *slots
	synced   time.Time // when durable was
	identity identity
	metrics  *metrics

	mu           sync.Mutex
	changed      *sync.Cond // durable frames, room, end
	segments     []*segment
	pending      []*pendingFrame
	next         uint64 // lsn of the next frame
	last         uint64 // last durable lsn
	alerts       uint64 // in all frames appended
	sum          uint32 // of the last frame appended
	marks        map[string][]byte
	accounts     map[string]event.Account
	readers      map[string]*Reader
	eventReaders map[string]*EventReader
	parked       map[string]cursor // cursors on disk that no reader has opened yet
	snaps        []uint64
	fatal        error
	closed       bool
	diskFull     bool
	hurried      bool
	making       bool // room, in a full ledger
	reserve      File // used by the committer
	done         chan struct{}
	dead         *deadFile

	snapping sync.Mutex // one snapshot is stored at a time

	alarmMu sync.Mutex
	alarms  map[string]bool
}

type pendingFrame struct {
	lsn    uint64
	sum    uint32
	bytes  []byte
	alerts uint64
	done   chan struct{}
	err    error
}

func (o *Options) defaults() {
	if o.MaxBytes == 0 {
		o.MaxBytes = 10 << 30
	}
	if o.SegmentBytes == 0 {
		o.SegmentBytes = 64 << 20
	}
	o.SegmentBytes = min(o.SegmentBytes, max(1, o.MaxBytes/8))
	if o.MaxFrame == 0 {
		o.MaxFrame = 256 << 20
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = osFS{}
	}
	if o.OnAlarm == nil {
		o.OnAlarm = func(Alarm) {}
	}
}

// Open opens or makes the ledger in dir and takes its lock; a second instance
// gets an error that names the first. Damage is mended and reported, never a
// reason not to start. Close it.
func Open(dir string, o Options) (*Ledger, error) {
	o.defaults()
	l := &Ledger{o: o, dir: dir, marks: map[string][]byte{}, accounts: map[string]event.Account{}, readers: map[string]*Reader{}, eventReaders: map[string]*EventReader{}, parked: map[string]cursor{}, alarms: map[string]bool{}, done: make(chan struct{})}
	l.changed = sync.NewCond(&l.mu)
	l.metrics = newMetrics(o.Metrics, l)
	var err error
	if l.codec, err = newCodec(o.MaxFrame, o.Uncompressed); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	if err := openDir(o.FS, dir); err != nil {
		return nil, fmt.Errorf("open state directory: %w", err)
	}
	if _, real := o.FS.(osFS); real {
		if l.lockf, err = lock(dir); err != nil {
			return nil, err
		}
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), l.release())
	}
	go l.run()
	return l, nil
}

func (l *Ledger) path(parts ...string) string {
	return filepath.Join(append([]string{l.dir}, parts...)...)
}

// Reserve waits until there is room for another page, or ctx ends.
func (l *Ledger) Reserve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, l.wake)
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := errors.Join(ctx.Err(), l.fatal); err != nil {
			return err
		}
		if l.closed {
			return errClosed
		}
		used := l.bytes()
		if used >= l.o.MaxBytes {
			l.retain()
			used = l.bytes()
		}
		l.levels(used)
		if used < l.o.MaxBytes && !l.diskFull {
			return nil
		}
		if used >= l.o.MaxBytes && l.makeRoom() {
			continue
		}
		l.changed.Wait()
	}
}

func (l *Ledger) wake() {
	l.mu.Lock()
	l.changed.Broadcast()
	l.mu.Unlock()
}

var errClosed = errors.New("the ledger is closed")

// Append gives f its LSN and AlertBase and enqueues it; wait returns once it is
// durable. The ledger owns f from here on.
func (l *Ledger) Append(f *event.Frame) (wait func(context.Context) error, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, err := l.enqueue(f)
	if err != nil {
		return nil, err
	}
	return p.wait, nil
}

// enqueue hands f to the committer, in parts where it is above the limit. Called
// with the lock held.
func (l *Ledger) enqueue(f *event.Frame) (*pendingFrame, error) {
	if l.closed || l.fatal != nil {
		return nil, errors.Join(l.fatal, errClosed)
	}
	f.LSN, f.AlertBase = l.next, l.alerts
	group, err := l.pack(f)
	if err != nil {
		return nil, fmt.Errorf("append frame: %w", err)
	}
	end := group[len(group)-1]
	f.LSN = end.lsn
	l.next, l.sum, l.alerts = end.lsn+1, end.sum, end.alerts
	l.note(f)
	l.pending = append(l.pending, group...)
	l.changed.Broadcast()
	return end, nil
}

func (p *pendingFrame) wait(ctx context.Context) error {
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note keeps what a snapshot must know beside the caller's state.
func (l *Ledger) note(f *event.Frame) {
	if f.Kind == event.FramePage {
		l.marks[f.Source] = append([]byte(nil), f.Mark...)
	}
	if f.Kind.Read() {
		l.accounts[f.Source] = l.accounts[f.Source].Add(f.Account)
	}
}

// Mark is the last cursor of a source, nil if it was never read.
func (l *Ledger) Mark(source string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marks[source]
}

// Accounts returns the cumulative account per source.
func (l *Ledger) Accounts() map[string]event.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make(map[string]event.Account, len(l.accounts))
	for k, v := range l.accounts {
		out[k] = v
	}
	return out
}

// run is the committer: it writes and syncs what is pending, a group at a time.
func (l *Ledger) run() {
	defer close(l.done)
	for {
		l.mu.Lock()
		for len(l.pending) == 0 && !l.closed {
			l.changed.Wait()
		}
		group, fatal := l.pending, l.fatal
		l.pending = nil
		stop := l.closed && len(group) == 0
		l.mu.Unlock()
		switch {
		case stop:
			return
		case fatal != nil: // behind a frame that is not there nothing may stand
			l.settle(group, fatal)
		default:
			l.commit(group)
		}
	}
}

const (
	diskFullPause = time.Second
	durableEvery  = time.Second // how often the number of the last durable frame is synced
)

func (l *Ledger) commit(group []*pendingFrame) {
	err := l.write(group)
	for tries := 0; err != nil && tries < 2; tries++ {
		wait := noRoom(err) && !l.isClosed()
		if !wait || !full(err) {
			l.poison(err) // never sync that descriptor again: write once more from memory
		}
		if wait {
			l.setDiskFull(true)
			l.awaitRoom()
			tries = -1
		}
		err = l.write(group)
	}
	if err == nil {
		l.setDiskFull(false)
	}
	l.settle(group, err)
}

// full tells a write that found no room from one that failed: it may be done
// again in place. After a failed sync nothing may.
func full(err error) bool {
	var s *syncError
	return !errors.As(err, &s) && noRoom(err)
}

func noRoom(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// syncError is a sync that failed: what of the file is on disk is unknown.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// write appends the group to the newest segment and makes it durable.
func (l *Ledger) write(group []*pendingFrame) error {
	s, err := l.active(group[0].lsn)
	if err != nil {
		return err
	}
	off := s.synced
	buf := group[0].bytes
	for _, p := range group[1:] {
		buf = append(buf, p.bytes...)
	}
	crashPoint("frame_half", func() { _, _ = s.f.WriteAt(buf[:len(buf)/2], off) })
	if _, err := s.f.WriteAt(buf, off); err != nil {
		return errors.Join(fmt.Errorf("write segment %s: %w", s.name, err), s.f.Truncate(off))
	}
	crashPoint("frame_written")
	start := time.Now()
	if err := s.f.Sync(); err != nil {
		return &syncError{fmt.Errorf("sync segment %s: %w", s.name, err)}
	}
	crashPoint("frame_synced")
	l.metrics.fsync.Observe(time.Since(start).Seconds())
	l.mu.Lock()
	s.size = off + int64(len(buf))
	s.synced = s.size
	end := group[len(group)-1]
	s.last, s.lastSum, s.alertEnd, s.newest = end.lsn, end.sum, end.alerts, l.o.Now()
	l.last = end.lsn
	l.mu.Unlock()
	sync := time.Since(l.synced) >= durableEvery
	if sync {
		l.synced = time.Now()
	}
	if err := l.durable.store(binary.LittleEndian.AppendUint64(nil, end.lsn), sync); err != nil {
		l.o.Log.Warn("cannot note the last durable frame: " + err.Error()) // the frames themselves are durable
	}
	return nil
}

// settle tells the waiters and the readers. Who hears of a failure finds the ledger failed.
func (l *Ledger) settle(group []*pendingFrame, err error) {
	l.mu.Lock()
	if err != nil && l.fatal == nil {
		l.fatal = fmt.Errorf("append to ledger: %w", err)
	}
	l.mu.Unlock()
	for _, p := range group {
		p.err = err
		close(p.done)
		if err == nil {
			l.codec.free(p.bytes)
			p.bytes = nil
		}
	}
	l.wake()
}

// active is the segment to append to; a full or poisoned one is closed and a
// new one made.
func (l *Ledger) active(next uint64) (*segment, error) {
	l.mu.Lock()
	var s *segment
	if n := len(l.segments); n > 0 {
		s = l.segments[n-1]
	}
	l.mu.Unlock()
	if s != nil && !s.closed && s.synced < l.o.SegmentBytes {
		return s, nil
	}
	if s != nil && !s.closed {
		if err := l.footer(s); err != nil {
			return nil, err
		}
		crashPoint("footer_synced")
	}
	name := segmentName(next)
	f, err := l.o.FS.Open(l.path("segments", name), true)
	if err != nil {
		return nil, fmt.Errorf("make segment: %w", err)
	}
	crashPoint("segment_made")
	if err := l.o.FS.SyncDir(l.path("segments")); err != nil {
		return nil, errors.Join(fmt.Errorf("make segment: %w", err), f.Close(), l.o.FS.Remove(l.path("segments", name)))
	}
	s = &segment{name: name, f: f, first: next, last: next - 1, newest: l.o.Now(), format: l.identity.of(next)}
	l.mu.Lock()
	l.segments = append(l.segments, s)
	l.retain()
	l.mu.Unlock()
	return s, nil
}

// footer closes a segment: its last record says how many frames there are.
func (l *Ledger) footer(s *segment) error {
	h := header{magic: footerMagic, lsn: s.last, previous: s.lastSum, alertBase: s.alertEnd, alerts: uint32(s.newest.Unix()), rawLength: uint32(s.last - s.first + 1)}
	b := h.append(nil, s.format.seed)
	if _, err := s.f.WriteAt(b, s.synced); err != nil {
		return fmt.Errorf("close segment %s: %w", s.name, err)
	}
	if err := s.f.Sync(); err != nil {
		return &syncError{fmt.Errorf("close segment %s: %w", s.name, err)}
	}
	l.mu.Lock()
	s.closed = true
	s.size += int64(len(b))
	s.synced = s.size
	l.mu.Unlock()
	return nil
}

// poison gives up the newest segment after a failed write or sync: its durable
// part stays, the next write goes to a new file.
func (l *Ledger) poison(err error) {
	l.o.Log.Error("segment poisoned", zap.Error(err))
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.segments)
	if n == 0 {
		return
	}
	s := l.segments[n-1]
	s.closed = true
	if s.last < s.first { // nothing durable in it: the name is needed again
		_ = s.f.Close()
		_ = l.o.FS.Remove(l.path("segments", s.name))
		l.segments = l.segments[:n-1]
	}
}

func (l *Ledger) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed || l.hurried
}

// Hurry ends the waiting for room on a full disk: what cannot be written now
// fails, and with it the ledger. For a process that is asked to end.
func (l *Ledger) Hurry() {
	l.mu.Lock()
	l.hurried = true
	l.mu.Unlock()
}

func (l *Ledger) setDiskFull(full bool) {
	l.mu.Lock()
	l.diskFull = full
	l.changed.Broadcast()
	l.mu.Unlock()
	l.alarm("disk_full", "the disk below the state directory is full; polling is paused", full)
}

// alarm reports the state of key at first and when it changes. OnAlarm may be called under the ledger's lock.
// It reports whether it did.
func (l *Ledger) alarm(key, text string, active bool) bool {
	l.alarmMu.Lock()
	defer l.alarmMu.Unlock()
	if was, known := l.alarms[key]; known && was == active {
		return false
	}
	l.alarms[key] = active
	l.o.OnAlarm(Alarm{Key: key, Text: text, Active: active})
	return true
}

// Close writes what is pending and releases the directory.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	<-l.done
	return l.release()
}

func (l *Ledger) release() error {
	var errs []error
	if l.durable != nil {
		errs = append(errs, l.durable.sync(), l.durable.close())
	}
	for _, r := range l.readers {
		errs = append(errs, r.slots.close())
	}
	for _, r := range l.eventReaders {
		errs = append(errs, r.slots.close())
	}
	for _, s := range l.segments {
		errs = append(errs, s.f.Close())
	}
	if l.reserve != nil {
		errs = append(errs, l.reserve.Close())
	}
	if l.dead != nil {
		errs = append(errs, l.dead.f.Close())
	}
	if l.lockf != nil {
		errs = append(errs, l.lockf.Close())
	}
	return errors.Join(errs...)
}
