// Package file owns the sink that appends alerts to a file as JSON lines.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "file" "NAME" {}`.
type Config struct {
	Path   string            `hcl:"path"`            // made with mode 0600
	Format string            `hcl:"format,optional"` // "ecs" (default), "json", "ocsf", "cim", "cef" or "leef"
	Links  map[string]string `hcl:"links,optional"`  // pages by name, in documents of alerts; those of the agent
}

// Validate returns every mistake of c that can be found without the file.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	p.Must(c.Path != "", "path", "names no file", `write "/var/lib/appgovd/alerts.jsonl"`)
	_, err := format.Named(c.Format, nil)
	p.Must(err == nil, "format", fmt.Sprintf("%q is no format", c.Format), "write one of "+strings.Join(format.Names(), ", "))
	post.CheckLinks(&p, c.Links)
	return p
}

// Options of New.
type Options struct{ Log *zap.Logger }

// Sink appends and syncs; a batch is accepted when it is on disk.
type Sink struct {
	path   string
	encode func([]byte, *event.Alert) []byte

	mu      sync.Mutex
	f       *os.File
	regular bool // not a device or a pipe
	torn    bool // the file may not end with a line end
}

// New opens the file.
func New(c Config, _ Options) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	encode, err := format.Named(c.Format, format.NewLinks(c.Links))
	if err != nil {
		return nil, err
	}
	s := &Sink{path: c.Path, encode: encode}
	return s, s.Reopen()
}

// Reopen opens the path anew, after logrotate moved the file away. When that
// fails, the sink goes on with the file that it has.
func (s *Sink) Reopen() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reopen()
}

func (s *Sink) reopen() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fault.WithHint(fmt.Errorf("open file sink: %w", err), "the directory must exist and be writable by the service")
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = syncDir(filepath.Dir(s.path))
	}
	torn := false
	if err == nil && info.Mode().IsRegular() && info.Size() > 0 {
		torn, err = tornAt(s.path, info.Size())
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open file sink: %w", err), f.Close())
	}
	old := s.f
	s.f, s.regular, s.torn = f, info.Mode().IsRegular(), torn
	if old != nil {
		return old.Close()
	}
	return nil
}

// tornAt tells whether the last line lacks its end: a crash cut it short. The
// alert of that line was not accepted and comes again.
func tornAt(path string, size int64) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	var last [1]byte
	if _, err := f.ReadAt(last[:], size-1); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return last[0] != '\n', nil
}

// syncDir makes the name of a new file as durable as its content, where the
// directory may be read.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// Write appends one line per alert and syncs. After an error the lines of the
// batch may be there in part; they come again with equal ids, on lines of their
// own.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil || len(batch) == 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return errors.New("write file sink: closed")
	}
	if s.deleted() {
		if err := s.reopen(); err != nil {
			return err
		}
	}
	var b []byte
	if s.torn {
		b = append(b, '\n')
	}
	for i := range batch {
		b = append(s.encode(b, &batch[i]), '\n')
	}
	if n, err := s.f.Write(b); err != nil {
		s.torn = n > 0 && b[n-1] != '\n' || n == 0 && s.torn
		return explain(fmt.Errorf("write file sink: %w", err))
	}
	s.torn = false
	if !s.regular {
		return nil
	}
	if err := s.f.Sync(); err != nil {
		return explain(fmt.Errorf("sync file sink: %w", err))
	}
	return nil
}

// deleted tells whether the open file has no name any more: what is written to
// it is gone with the last close. A file that was only moved away still has
// one, and waits for Reopen.
func (s *Sink) deleted() bool {
	info, err := s.f.Stat()
	if err != nil || !s.regular {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}

func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.WithHint(err, "the disk or its quota is full: make room; delivery goes on by itself")
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
		return fault.WithHint(err, "the file system is read-only or failing: see the kernel's log")
	default:
		return err
	}
}

// Close closes the file; more than once is harmless.
func (s *Sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
