// Package file owns the sink that appends alerts to a file as JSON lines.
package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
)

// Config is the body of `sink "file" "NAME" {}`.
type Config struct {
	Path   string `hcl:"path"`            // made with mode 0600
	Format string `hcl:"format,optional"` // "ecs" (default) or "json"
}

// Options of New.
type Options struct{ Log *zap.Logger }

// Sink appends and syncs; a batch is accepted when it is on disk.
type Sink struct {
	path   string
	encode func([]byte, *event.Alert) []byte

	mu sync.Mutex
	f  *os.File
}

// New opens the file.
func New(c Config, _ Options) (*Sink, error) {
	encode, err := format.Named(c.Format)
	if err != nil {
		return nil, err
	}
	s := &Sink{path: c.Path, encode: encode}
	return s, s.Reopen()
}

// Reopen opens the path anew: after logrotate moved the file away.
func (s *Sink) Reopen() error {
	f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fault.WithHint(fmt.Errorf("open file sink: %w", err), "the directory must exist and be writable by the service")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.f
	s.f = f
	if old != nil {
		return old.Close()
	}
	return nil
}

// Write appends one line per alert and syncs. After an error the lines of the
// batch may be there in part; they come again with equal ids.
func (s *Sink) Write(_ context.Context, batch []event.Alert) error {
	var b []byte
	for i := range batch {
		b = append(s.encode(b, &batch[i]), '\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.f == nil {
		return errors.New("write file sink: closed")
	}
	if _, err := s.f.Write(b); err != nil {
		return fmt.Errorf("write file sink: %w", err)
	}
	if err := s.f.Sync(); err != nil && !isDevice(s.f) {
		return fmt.Errorf("sync file sink: %w", err)
	}
	return nil
}

// isDevice: /dev/stdout and the like cannot be synced.
func isDevice(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && !info.Mode().IsRegular()
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
