package ledger

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/appgovd/appgovd/internal/event"
)

// Report is what a ledger looks like from beside.
type Report struct {
	Dir         string           `json:"dir"`
	Owner       int              `json:"owner_pid,omitempty"` // of the daemon that holds it, 0 = none
	First       uint64           `json:"first_lsn"`
	Last        uint64           `json:"last_lsn"`
	Alerts      uint64           `json:"alerts"` // in all frames that were ever appended
	Bytes       int64            `json:"bytes"`
	Segments    []SegmentReport  `json:"segments"`
	Cursors     []CursorReport   `json:"cursors"`
	Forwards    []CursorReport   `json:"forwards,omitempty"` // readers of events
	Snapshots   []SnapshotReport `json:"snapshots"`
	DeadLetters int              `json:"dead_letters"`
	Corrupt     int              `json:"corrupt_copies"` // parts that were set aside at former starts
	Torn        int              `json:"torn_copies"`
	Frames      uint64           `json:"frames_read,omitempty"`
	Problems    []Problem        `json:"problems"`
}

// SegmentReport is one segment.
type SegmentReport struct {
	Name     string `json:"name"`
	First    uint64 `json:"first_lsn"`
	Last     uint64 `json:"last_lsn"`
	Bytes    int64  `json:"bytes"`
	Closed   bool   `json:"closed"`
	Overflow bool   `json:"overflow,omitempty"`
	Version  int    `json:"version"`
}

// CursorReport is one reader as its file says.
type CursorReport struct {
	Name string `json:"name"`
	ReaderStats
	Left time.Time `json:"left,omitzero"` // when its sink left the configuration
}

// SnapshotReport is one snapshot.
type SnapshotReport struct {
	LSN   uint64 `json:"lsn"`
	Bytes int64  `json:"bytes"`
}

// Problem is something that is not as it should be, and what the next start, or
// Repair, does about it.
type Problem struct {
	Where string `json:"where"`
	What  string `json:"what"`
	Then  string `json:"then"`
}

// Inspect tells what the ledger holds and what is wrong with it. With deep every
// byte is read and every checksum compared; without, closed segments are taken by
// their footers.
func (v *View) Inspect(deep bool) (Report, error) {
	l := v.l
	r := Report{Dir: l.dir, Owner: owner(l.dir), First: l.First(), Last: l.last, Alerts: l.alerts, Segments: []SegmentReport{}, Cursors: []CursorReport{}, Snapshots: []SnapshotReport{}, Problems: slices.Clone(v.problems)}
	for _, s := range l.segments {
		size, err := s.f.Size()
		if err != nil {
			return r, fmt.Errorf("inspect ledger: %w", err)
		}
		version := 1
		if s.format.version != 0 {
			version = int(s.format.version)
		}
		r.Segments = append(r.Segments, SegmentReport{s.name, s.first, s.last, size, s.closed, s.moved, version})
		r.Bytes += size
		r.Alerts = max(r.Alerts, s.alertEnd)
	}
	if deep {
		if err := v.readAll(&r); err != nil {
			return r, fmt.Errorf("inspect ledger: %w", err)
		}
	}
	err := errors.Join(v.durable(&r), v.cursors(&r), v.forwards(&r), v.snapshots(&r, deep), v.letters(&r))
	for dir, n := range map[string]*int{"corrupt": &r.Corrupt, "torn": &r.Torn} {
		names, listErr := l.o.FS.List(l.path(dir))
		*n, err = len(names), errors.Join(err, listErr)
	}
	if err != nil {
		return r, fmt.Errorf("inspect ledger: %w", err)
	}
	return r, nil
}

// readAll reads every frame of every segment.
func (v *View) readAll(r *Report) error {
	for i, s := range v.l.segments {
		if s.closed { // what stands behind its footer alone was not looked at yet
			c := &segment{name: s.name, f: s.f, first: s.first, format: s.format}
			f, err := c.scan(s.size, v.l.limit(i))
			if err != nil {
				return err
			}
			r.Problems = append(r.Problems, problemsOf(s.name, f, r.Owner != 0)...)
		}
	}
	r.Problems = dedupe(r.Problems)
	before := v.damaged
	if err := v.Frames(func(*event.Frame) error { r.Frames++; return nil }); err != nil {
		return err
	}
	if n := v.damaged - before; n > 0 && len(r.Problems) == 0 {
		r.Problems = append(r.Problems, Problem{"segments", fmt.Sprintf("%d frames cannot be read", n), "they are copied to corrupt/ and skipped"})
	}
	return nil
}

func dedupe(all []Problem) []Problem {
	var out []Problem
	for _, p := range all {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// problemsOf is what a scan of one segment found. Beside a running daemon a torn end
// may be a write on its way.
func problemsOf(name string, f findings, live bool) (out []Problem) {
	for _, d := range f.damaged {
		switch where := fmt.Sprintf("%s, byte %d", name, d.Offset); {
		case !d.Torn:
			out = append(out, Problem{where, fmt.Sprintf("%d bytes are rotten: %s", d.Bytes, d.Reason), "they are copied to corrupt/ and skipped; the frames around them stay"})
		case !live:
			out = append(out, Problem{where, fmt.Sprintf("%d bytes of an unfinished write: %s", d.Bytes, d.Reason), "they are copied to torn/ and cut off; nothing of them was acknowledged"})
		}
	}
	for _, b := range f.breaks {
		out = append(out, Problem{name, b.text, "it is told, and nothing brings them back; the frames around them stay"})
	}
	return out
}

// durable compares the last frame with the last one that was promised. Beside a
// daemon that one may be newer than what was seen.
func (v *View) durable(r *Report) error {
	b, err := peekSlots(v.l.o.FS, v.l.dir, "durable")
	if err != nil || r.Owner != 0 || len(b) != 8 {
		return err
	}
	if last := binary.LittleEndian.Uint64(b); last > r.Last {
		r.Problems = append(r.Problems, Problem{"segments", fmt.Sprintf("frames %d to %d were durable and are gone", r.Last+1, last), "it is told, and nothing brings them back; their numbers are not given again"})
	}
	return nil
}

func (v *View) cursors(r *Report) error {
	names, err := v.l.cursorFiles(alertCursors)
	if err != nil {
		return err
	}
	for _, file := range names {
		name := cursorName(file)
		b, err := peekSlots(v.l.o.FS, v.l.path(alertCursors), file)
		if err != nil {
			return err
		}
		c, err := decodeCursor(b)
		if err != nil {
			r.Problems = append(r.Problems, Problem{"cursors/" + file, "both slots are damaged", name + " gets everything again from the oldest frame, with equal ids"})
			continue
		}
		waiting := uint64(0)
		if r.Alerts > c.ordinal {
			waiting = r.Alerts - c.ordinal
		}
		x := CursorReport{Name: name, ReaderStats: ReaderStats{LSN: c.pos.LSN, Waiting: waiting, Accepted: c.accepted, DeadLetter: c.deadLetter, Skipped: c.skipped, Grouped: c.grouped, Dropped: c.dropped, Lost: c.lost, Balance: c.balance()}}
		if c.left != 0 {
			x.Left = time.Unix(int64(c.left), 0).UTC()
		}
		if x.Balance != "" {
			r.Problems = append(r.Problems, Problem{"cursors/" + file, x.Balance, "it is told by an alarm; please report it"})
		}
		r.Cursors = append(r.Cursors, x)
	}
	return nil
}

func (v *View) forwards(r *Report) error {
	names, err := v.l.cursorFiles(eventCursors)
	if errors.Is(err, os.ErrNotExist) {
		return nil // no daemon that knows them was started yet
	}
	if err != nil {
		return err
	}
	for _, file := range names {
		name := cursorName(file)
		b, err := peekSlots(v.l.o.FS, v.l.path(eventCursors), file)
		if err != nil {
			return err
		}
		c, err := decodeEventCursor(b)
		if err != nil {
			r.Problems = append(r.Problems, Problem{eventCursors + "/" + file, "both slots are damaged", name + " gets every event again from the oldest frame, with equal ids"})
			continue
		}
		x := CursorReport{Name: name, ReaderStats: ReaderStats{LSN: c.pos.LSN, Accepted: c.accepted, DeadLetter: c.deadLetter, Skipped: c.skipped, Missing: c.missing}}
		if r.Last >= c.pos.LSN {
			x.Frames = r.Last + 1 - c.pos.LSN
		}
		r.Forwards = append(r.Forwards, x)
	}
	return nil
}

// cursorName is the reader of a cursor file: kind/name.
func cursorName(file string) string {
	return strings.Replace(strings.TrimSuffix(file, ".cur"), ".", "/", 1)
}

func (v *View) snapshots(r *Report, deep bool) error {
	names, err := v.l.o.FS.List(v.l.path("snapshots"))
	if err != nil {
		return err
	}
	for _, name := range names {
		lsn, ok := parseSnapName(name)
		if !ok {
			continue // one that is being written
		}
		size, err := v.lookAt(lsn, deep)
		if errors.Is(err, os.ErrNotExist) {
			continue // given up meanwhile
		}
		if err != nil {
			r.Problems = append(r.Problems, Problem{"snapshots/" + snapName(lsn), err.Error(), "it is moved to corrupt/ and the one before it is used"})
			continue
		}
		r.Snapshots = append(r.Snapshots, SnapshotReport{lsn, size})
		if lsn > r.Last {
			r.Problems = append(r.Problems, Problem{"snapshots/" + snapName(lsn), fmt.Sprintf("it is ahead of the last frame, %d", r.Last), "the frames that are gone are told; their numbers are not given again"})
		}
	}
	return nil
}

// lookAt checks a snapshot and returns its size in bytes; deep unpacks its body too,
// which has the length that its head says.
func (v *View) lookAt(lsn uint64, deep bool) (size int64, err error) {
	s, err := v.l.openSnapshot(lsn)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.f.Close()) }()
	if !deep {
		return s.size, nil
	}
	z, err := zstd.NewReader(s.body(), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return 0, err
	}
	defer z.Close()
	n, err := io.Copy(io.Discard, z)
	if err == nil && uint64(n) != s.length {
		err = errors.New("snapshot length differs")
	}
	return s.size, err
}

func (v *View) letters(r *Report) error {
	f, err := v.l.o.FS.Open(v.l.path("deadletter", deadName), false)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	d := &deadFile{f: f}
	found, err := d.scan()
	if err != nil {
		return err
	}
	r.DeadLetters = len(d.open)
	for _, g := range gaps(found, d.size) {
		if g.to < d.size || r.Owner == 0 {
			r.Problems = append(r.Problems, Problem{fmt.Sprintf("deadletter/%s, byte %d", deadName, g.from), fmt.Sprintf("%d bytes hold no letter", g.to-g.from), "they are copied to corrupt/; the letters around them stay"})
		}
	}
	return nil
}

// owner is the process that holds the lock of the ledger in dir, 0 = none. It does
// not touch the lock.
func owner(dir string) int {
	info, err := os.Stat(dir + "/LOCK")
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(locks)) {
		f := strings.Fields(line) // 1: FLOCK ADVISORY WRITE 4711 fe:00:12345 0 EOF
		if len(f) < 6 || f[1] != "FLOCK" || !strings.HasSuffix(f[5], ":"+strconv.FormatUint(stat.Ino, 10)) {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
			return pid
		}
	}
	return 0
}

// Repair does now what the next start of the daemon would do about damage, and
// returns it in words. It needs the ledger for itself.
func Repair(dir string, o Options) ([]string, error) {
	var done []string
	o.OnAlarm = func(a Alarm) {
		if a.Active {
			done = append(done, a.Text)
		}
	}
	l, err := maintain(dir, o)
	if err != nil {
		return nil, err
	}
	err = l.Recover(func(r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }, func(*event.Frame) error { return nil })
	return done, errors.Join(err, l.Close())
}

// maintain opens a ledger so that no history is given up.
func maintain(dir string, o Options) (*Ledger, error) {
	if info, err := os.Stat(dir + "/segments"); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("open ledger: %s holds none", dir)
	}
	o.History = math.MaxInt64
	return Open(dir, o)
}

// Rewound is what a rewind did, or would do.
type Rewound struct {
	Reader string `json:"sink"`
	From   uint64 `json:"from_lsn"`
	To     uint64 `json:"to_lsn"`
	Alerts uint64 `json:"alerts,omitempty"` // that go out again, as far as they are routed to it
	Events uint64 `json:"events,omitempty"` // of a reader of events: the same, as far as its sink asks for them
}

// Target is where a reader is sent back to: a frame, or the first frame that was
// appended at a time or later.
type Target struct {
	LSN  uint64
	Time time.Time
}

// Rewind sends the reader called name back, so that it gets alerts again, with the
// ids of the first time; its account begins anew. Without apply it only tells. It
// needs the ledger for itself.
func Rewind(dir, name string, to Target, apply bool, o Options) (Rewound, error) {
	return rewind(dir, name, to, apply, o, alertCursors, (*Ledger).back)
}

// RewindEvents is Rewind for a reader of events.
func RewindEvents(dir, name string, to Target, apply bool, o Options) (Rewound, error) {
	return rewind(dir, name, to, apply, o, eventCursors, (*Ledger).backToEvents)
}

// rewind puts in place of what the file of a reader holds what back makes of it.
func rewind(dir, name string, to Target, apply bool, o Options, cursors string, back func(*Ledger, []byte, Target) ([]byte, Rewound, error)) (r Rewound, err error) {
	l, err := maintain(dir, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	file := strings.Replace(name, "/", ".", 1) + ".cur"
	old, err := peekSlots(l.o.FS, l.path(cursors), file)
	if err != nil {
		return r, fmt.Errorf("rewind: %w", err)
	}
	next, r, err := back(l, old, to)
	r.Reader = name
	switch {
	case errors.Is(err, errNoCursor):
		return r, fmt.Errorf("rewind: %q has no cursor that can be read; there are: of alerts %s, of events %s", name, l.cursorNames(alertCursors), l.cursorNames(eventCursors))
	case err != nil:
		return r, fmt.Errorf("rewind %s: %w", name, err)
	case !apply:
		return r, nil
	}
	s, _, err := l.openSlots(l.path(cursors), file)
	if err != nil {
		return r, fmt.Errorf("rewind %s: %w", name, err)
	}
	return r, errors.Join(s.store(next, true), s.close())
}

var (
	errNoCursor = errors.New("no cursor")
	errFound    = errors.New("found")
)

// errAhead refuses to send a reader on: nothing is skipped.
func errAhead(to, at uint64) error {
	return fmt.Errorf("frame %d is ahead of frame %d, where it is: nothing is skipped", to, at)
}

func (l *Ledger) back(b []byte, to Target) ([]byte, Rewound, error) {
	old, err := decodeCursor(b)
	if err != nil {
		return nil, Rewound{}, errNoCursor
	}
	found, base, err := l.frameAt(to)
	if err != nil {
		return nil, Rewound{}, err
	}
	if base > old.ordinal {
		return nil, Rewound{}, errAhead(found, old.pos.LSN)
	}
	next := cursor{pos: event.Position{LSN: found}, ordinal: base, start: base, notify: l.next - 1}
	return next.encode(), Rewound{From: old.pos.LSN, To: found, Alerts: old.ordinal - base}, nil
}

func (l *Ledger) backToEvents(b []byte, to Target) ([]byte, Rewound, error) {
	old, err := decodeEventCursor(b)
	if err != nil {
		return nil, Rewound{}, errNoCursor
	}
	found, _, err := l.frameAt(to)
	if err != nil {
		return nil, Rewound{}, err
	}
	if found > old.pos.LSN {
		return nil, Rewound{}, errAhead(found, old.pos.LSN)
	}
	r := Rewound{From: old.pos.LSN, To: found}
	err = l.Packed(found, func(p *event.Packed) error {
		switch {
		case p.Head.LSN < old.pos.LSN:
			r.Events += uint64(p.Events())
			return nil
		case p.Head.LSN == old.pos.LSN:
			r.Events += uint64(old.pos.Index)
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return eventCursor{pos: event.Position{LSN: found}}.encode(), r, err
}

func (l *Ledger) cursorNames(dir string) string {
	names, _ := l.cursorFiles(dir)
	for i, n := range names {
		names[i] = cursorName(n)
	}
	return cmp.Or(strings.Join(names, ", "), "none")
}

// frameAt is the frame that to names, or the oldest one behind it, and how many alerts
// lie before it.
func (l *Ledger) frameAt(to Target) (lsn, base uint64, err error) {
	err = l.Packed(max(1, to.LSN), func(p *event.Packed) error {
		if p.Head.Time.Before(to.Time) {
			return nil
		}
		lsn, base = p.Head.LSN, p.Head.AlertBase
		return errFound
	})
	if err != nil && !errors.Is(err, errFound) {
		return 0, 0, err
	}
	if lsn == 0 {
		return 0, 0, fmt.Errorf("no frame is that late; the last one is %d", l.last)
	}
	return lsn, base, nil
}
