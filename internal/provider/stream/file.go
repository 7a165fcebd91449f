package stream

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Files reads files that others write, for one goroutine: lines of JSON as they are
// appended, and whole documents once they are there. The cursor knows a file by what
// it begins with and where it lies, so that one that was renamed, copied or compressed
// by rotation goes on where it was read to.
type Files struct {
	cfg      FileConfig
	o        Options
	poll     time.Duration
	lateness time.Duration
	open     func(path string) (io.ReadSeekCloser, error)

	maxEvents, maxBytes int // of one page
	through             time.Time
	copies              map[copyKey]bool // files that hold nothing of their own
	half                *half            // nil = none
}

// half is a compressed file that a page did not read to its end: the next one goes on
// where it is.
type half struct {
	dev, inode uint64
	at         int64
	r          *bufio.Reader
	close      func()
}

const (
	settled     = 5 * time.Second // after which a file without a change counts as whole
	maxLine     = 16 << 20
	maxDocument = 64 << 20
)

// NewFiles opens nothing. The caller closes the source.
func NewFiles(c FileConfig, o Options) (*Files, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, p := range c.Validate() {
		return nil, fmt.Errorf("check source %s: %w", o.Key, p)
	}
	return &Files{
		cfg: c, o: o.withDefaults(), poll: durationOr(c.PollInterval, 2*time.Second), lateness: c.Late(), maxEvents: 2000, maxBytes: 8 << 20,
		copies: map[copyKey]bool{},
		open:   func(path string) (io.ReadSeekCloser, error) { return os.Open(path) },
	}, nil
}

// Close closes the file that is half read; more than once is harmless.
func (s *Files) Close() {
	if s.half != nil {
		s.half.close()
		s.half = nil
	}
}

// Shared is false: nobody else reads a part of the files.
func (s *Files) Shared() bool { return false }

// Read returns what came behind cursor, or nothing with the time to wait.
func (s *Files) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	if err := ctx.Err(); err != nil {
		return event.Page{}, err
	}
	now := s.o.Now().UTC()
	at, lost := s.position(cursor, now)
	if lost != nil {
		return *lost, nil
	}
	b := s.o.newBatch(at.Begun)
	found, errs := s.find(&at, &b, now)
	more := false
	for _, f := range found {
		if s.full(&b) || ctx.Err() != nil {
			more = true
			break
		}
		if err := s.read(f, &b, now); err != nil {
			errs = append(errs, err)
		}
		more = more || f.at.unread() && !f.waits
	}
	if err := ctx.Err(); err != nil {
		return event.Page{}, err
	}
	if err := errors.Join(errs...); err != nil && b.fetched == 0 {
		return event.Page{}, explainFile(err)
	}
	return s.page(&b, at, now, more || len(errs) > 0), nil
}

func (s *Files) page(b *Batch, at places, now time.Time, more bool) event.Page {
	p := b.page(at.encode())
	if more {
		return p
	}
	if t := now.Add(-s.lateness); t.After(s.through) {
		s.through = t
	}
	p.CompleteThrough, p.Wait = s.through, s.poll
	if s.cfg.Once {
		p.Wait = 24 * time.Hour
	}
	return p
}

func (s *Files) full(b *Batch) bool {
	return len(b.events) >= s.maxEvents || b.read >= s.maxBytes || b.full()
}

func (s *Files) position(cursor []byte, now time.Time) (places, *event.Page) {
	anew := places{Version: offsetsVersion, Begun: now}
	if cursor == nil {
		return anew, nil
	}
	var at places
	err := json.Unmarshal(cursor, &at)
	if err == nil && at.Version != offsetsVersion {
		err = fmt.Errorf("version %d is not known", at.Version)
	}
	if err != nil {
		gap := event.Gap{Source: s.o.Key, From: now, To: now, Reason: "where the files were read to is not known any more (" + err.Error() + "): they are read as if for the first time"}
		return anew, &event.Page{Cursor: anew.encode(), Gaps: []event.Gap{gap}}
	}
	return at, nil
}

// explainFile says what helps.
func explainFile(err error) error {
	err = fmt.Errorf("read files: %w", err)
	if errors.Is(err, fs.ErrPermission) {
		return fault.WithHint(fault.NewAuth(err), "let the user that appgovd runs as read the file and enter its directories")
	}
	return err
}

// opened is a file at the place where it goes on; a compressed one has been read up
// to there.
func (s *Files) opened(f *found) (*half, error) {
	dev, inode := id(f.info)
	if h := s.half; h != nil && f.at.Gzip && h.dev == dev && h.inode == inode && h.at == f.at.At {
		s.half = nil
		return h, nil
	}
	h, err := s.open(f.path)
	if err != nil {
		return nil, err
	}
	r, err := textOf(h, f.at.Gzip, f.at.At)
	if err != nil {
		_ = h.Close()
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return &half{dev, inode, f.at.At, bufio.NewReaderSize(r, 64<<10), func() { _ = h.Close() }}, nil
}

// read takes what f has behind its place. A compressed file that ends too early may
// still be written; once it is not, what is missing is a gap.
func (s *Files) read(f *found, b *Batch, now time.Time) error {
	if !f.at.unread() {
		return nil
	}
	err := s.text(f, b, now)
	if !f.at.Gzip || !isDamage(err) {
		return err
	}
	f.damage = err
	if f.waits = s.mayGrow(f, now); !f.waits {
		f.at.Done = true
		s.damaged(f, b, now)
	}
	return nil
}

func (s *Files) text(f *found, b *Batch, now time.Time) error {
	whole := s.cfg.Once || f.at.Gzip || now.Sub(f.changed) > settled
	if f.waits = f.at.Document && !whole; f.waits {
		return nil
	}
	h, err := s.opened(f)
	if err != nil {
		return err
	}
	if f.at.Document {
		err = s.document(f, b, h.r)
	} else {
		err = s.lines(f, b, h.r, whole)
	}
	if err != nil || !f.at.Gzip || f.at.Done {
		h.close()
		return err
	}
	s.Close()
	h.at = f.at.At
	s.half = h
	return nil
}

// lines takes whole lines; the last one without an end where the file is no longer
// written to.
func (s *Files) lines(f *found, b *Batch, r *bufio.Reader, whole bool) error {
	for !s.full(b) {
		line, n, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if ended := err != nil; ended && (n == 0 || !whole) {
			f.waits = n > 0
			f.at.Done = f.at.Gzip
			return nil
		}
		f.at.advance(n, line)
		b.read += n
		switch text := bytes.TrimSpace(line); {
		case n > maxLine:
			b.refuse(line, "too_large", fmt.Sprintf("a line of %d bytes of %s", n, f.path))
		case len(text) > 0:
			s.o.decode(text, b)
		}
		if err != nil {
			f.at.Done = f.at.Gzip
			return nil
		}
	}
	return nil
}

// readLine is the next line and its length; of one that is too long only the beginning.
func readLine(r *bufio.Reader) (line []byte, n int, err error) {
	for {
		part, err := r.ReadSlice('\n')
		n += len(part)
		if len(line) <= maxLine {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, n, err
		}
	}
}

// document takes a file whose records are not one to a line. One that changes later is
// read anew: what it had is known by its identity.
func (s *Files) document(f *found, b *Batch, r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if b.read += len(text); len(text) > maxDocument {
		b.refuse(text, "too_large", fmt.Sprintf("%s has more than %d bytes and not one record to a line", f.path, maxDocument))
	} else {
		s.o.decode(text, b)
	}
	f.at.At, f.at.Done = f.at.Size, f.at.Gzip
	return nil
}

// Check looks for the files and decodes what they begin with, keeping nothing.
func (s *Files) Check(ctx context.Context) []Finding {
	p, err := s.Read(ctx, nil)
	f := Finding{What: "files"}
	names, _ := s.names()
	switch {
	case err != nil:
		f.Text, f.Advice = err.Error(), fault.Hint(err)
	case len(names) == 0:
		f.Text, f.Advice = "no file matches paths", "check the paths; a file that comes later is read then"
	case len(p.Quarantined) > 0:
		f.Text = fmt.Sprintf("%d of %d records cannot be decoded: %s", len(p.Quarantined), p.Fetched, p.Quarantined[0].Detail)
		f.Advice = "are these the right files? If they are, please report the reason and an anonymised record"
	default:
		f.OK, f.Text = true, fmt.Sprintf("%d files can be read; %d records at their beginning", len(names), p.Fetched)
	}
	return []Finding{f}
}

// names are the files of paths, the oldest first.
func (s *Files) names() ([]string, []error) {
	var errs []error
	changed := map[string]time.Time{}
	for _, pattern := range s.cfg.Paths {
		list, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", pattern, err))
		}
		for _, name := range list {
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				changed[name] = info.ModTime()
			}
		}
	}
	names := make([]string, 0, len(changed))
	for name := range changed {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(changed[a].Compare(changed[b]), cmp.Compare(a, b)) })
	return names, errs
}
