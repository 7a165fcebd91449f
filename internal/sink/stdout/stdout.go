// Package stdout owns the sink that writes alerts to standard output as JSON
// lines: for trying things out, and for pipes.
package stdout

import (
	"context"
	"fmt"
	"io"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

// Config is the body of `sink "stdout" "NAME" {}`.
type Config struct {
	Format string `hcl:"format,optional"` // "ecs" (default) or "json"
}

// Options of New.
type Options struct{ Out io.Writer }

// Sink writes lines; what the writer took is accepted.
type Sink struct {
	out    io.Writer
	encode func([]byte, *event.Alert) []byte
}

// New checks the format.
func New(c Config, o Options) (*Sink, error) {
	encode, err := format.Named(c.Format)
	if err != nil {
		return nil, err
	}
	return &Sink{out: o.Out, encode: encode}, nil
}

// Write writes one line per alert.
func (s *Sink) Write(_ context.Context, batch []event.Alert) error {
	var b []byte
	for i := range batch {
		b = append(s.encode(b, &batch[i]), '\n')
	}
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("write stdout: %w", err)
	}
	return nil
}

// Close does nothing: standard output is not ours.
func (s *Sink) Close() error { return nil }
