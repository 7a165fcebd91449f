// Package stream owns the sources that read what others write: a topic of Kafka,
// or of an Event Hub by its Kafka endpoint, and files. It knows how records are
// carried, where the next one lies and how the carrier fails; what a record means
// is the business of the function Decode that it is given.
package stream

import (
	"bytes"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/secret"
)

// Options of a source. Key, Split and Decode are required.
type Options struct {
	Key string // "kafka/activity/records": of the source in the ledger
	Now func() time.Time
	Log *zap.Logger
	// Secret opens a reference; the function that it returns gives the current
	// value. nil = secret.Resolver.
	Secret func(secret.Ref) (func() (string, error), error)

	// Split hands each record of a message, a line or a document to fn, which must
	// not keep it; bad says why it cannot be read. Its error is that of fn.
	Split func(message []byte, fn func(raw []byte, bad error) error) error
	// Decode makes an event of a record, which it must not keep. It is pure and safe
	// for concurrent use. An event that is nil without an error is not collected.
	Decode func(raw []byte) (*event.Event, error)
	// ReasonOf names why Decode could not, in the closed vocabulary of event.Quarantine.
	ReasonOf func(error) string
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Secret == nil {
		o.Secret = secret.Resolver{}.Open
	}
	if o.ReasonOf == nil {
		o.ReasonOf = func(error) string { return "unknown_shape" }
	}
	return o
}

func (o Options) check() error {
	if o.Key == "" || o.Split == nil || o.Decode == nil {
		return errors.New("build source: key, split and decode are needed")
	}
	return nil
}

// Finding is what a check found out about one thing: the topic, a file.
type Finding struct {
	What   string
	OK     bool
	Text   string // what was seen
	Advice string // what helps; "" where nothing is wrong
}

// Problem is one mistake in a configuration. Field is the attribute as written in
// HCL, with the block before it: "sasl.mechanism".
type Problem struct {
	Field, Text, Advice string
}

// Error is "field: text".
func (p Problem) Error() string { return p.Field + ": " + p.Text }

// maxQuarantined bounds what is kept of a record that cannot be decoded.
const maxQuarantined = 64 << 10

// batch is what became of some records.
type batch struct {
	events      []event.Event
	quarantined []event.Quarantine
	gaps        []event.Gap
	fetched     int
}

// add decodes the records of one message. begun is when the source was first read:
// what happened before is history.
func (b *batch) add(o *Options, message []byte, begun time.Time) {
	now := o.Now().UTC()
	_ = o.Split(message, func(raw []byte, bad error) error { // fn returns nil only
		var e *event.Event
		if bad == nil {
			e, bad = o.Decode(raw)
		}
		switch {
		case bad != nil:
			b.refuse(o, raw, o.ReasonOf(bad), bad.Error())
		case e != nil:
			e.Source, e.Observed, e.Backfill = o.Key, now, e.Time.Before(begun)
			b.events = append(b.events, *e)
			b.fetched++
		}
		return nil
	})
}

// refuse keeps the beginning of a record that cannot be decoded.
func (b *batch) refuse(o *Options, raw []byte, reason, detail string) {
	b.fetched++
	b.quarantined = append(b.quarantined, event.Quarantine{Source: o.Key, Reason: reason, Detail: detail, Raw: bytes.Clone(raw[:min(len(raw), maxQuarantined)])})
}

func (b *batch) join(c *batch) {
	b.events = append(b.events, c.events...)
	b.quarantined = append(b.quarantined, c.quarantined...)
	b.gaps = append(b.gaps, c.gaps...)
	b.fetched += c.fetched
}

// page is b in order of time.
func (b *batch) page(cursor []byte) event.Page {
	slices.SortStableFunc(b.events, func(x, y event.Event) int { return x.Time.Compare(y.Time) })
	return event.Page{Events: b.events, Quarantined: b.quarantined, Gaps: b.gaps, Fetched: b.fetched, Cursor: cursor}
}
