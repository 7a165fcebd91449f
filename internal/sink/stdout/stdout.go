// Package stdout owns the sink that writes alerts to standard output as JSON
// lines: for trying things out, and for pipes.
package stdout

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Config is the body of `sink "stdout" "NAME" {}`.
type Config struct {
	Format string            `hcl:"format,optional"` // "ecs" (default), "json", "ocsf", "cim", "cef" or "leef"
	Links  map[string]string `hcl:"links,optional"`  // pages by name, in documents of alerts; those of the agent
}

// Validate returns every mistake of c.
func (c Config) Validate() deliver.Problems {
	var p deliver.Problems
	_, err := format.Named(c.Format, nil)
	p.Must(err == nil, "format", fmt.Sprintf("%q is no format", c.Format), "write one of "+strings.Join(format.Names(), ", "))
	post.CheckLinks(&p, c.Links)
	return p
}

// Options of New.
type Options struct{ Out io.Writer }

// Sink writes lines; what the writer took is accepted.
type Sink struct {
	out    io.Writer
	encode func([]byte, *event.Alert) []byte
	closed atomic.Bool
}

// New checks the format.
func New(c Config, o Options) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	encode, err := format.Named(c.Format, format.NewLinks(c.Links))
	if err != nil {
		return nil, err
	}
	return &Sink{out: o.Out, encode: encode}, nil
}

// Write writes one line per alert.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil || len(batch) == 0 {
		return err
	}
	if s.closed.Load() {
		return errors.New("write stdout: the sink is closed")
	}
	var b []byte
	for i := range batch {
		b = append(s.encode(b, &batch[i]), '\n')
	}
	if _, err := s.out.Write(b); err != nil {
		return fmt.Errorf("write stdout: %w", err)
	}
	return nil
}

// Close ends the sink; standard output is not ours to close.
func (s *Sink) Close() error {
	s.closed.Store(true)
	return nil
}
