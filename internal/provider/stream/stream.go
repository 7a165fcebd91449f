// Package stream owns the sources that read what others write: a topic of Kafka,
// or of an Event Hub by its Kafka endpoint, and files. It knows how records are
// carried, where the next one lies and how the carrier fails; what a record means
// is the business of the function Decode that it is given.
package stream

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/secret"
)

// Options of a source. Key and Decode are required.
type Options struct {
	Key string // "kafka/activity/records": of the source in the ledger
	Now func() time.Time
	Log *zap.Logger
	// Secret opens a reference; the function that it returns gives the current
	// value. nil = secret.Resolver.
	Secret func(secret.Ref) (func() (string, error), error)
	Dial   outbound.Dial // nil = over the network

	// Decode tells out what the records of a message, a line or a document are. It is
	// safe for concurrent use, and keeps nothing of message.
	Decode func(message []byte, out *Batch)
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
	return o
}

func (o Options) check() error {
	if o.Key == "" || o.Decode == nil {
		return errors.New("build source: key and decode are needed")
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

// Batch is what became of some records.
type Batch struct {
	source     string
	now, begun time.Time

	events      []event.Event
	quarantined []event.Quarantine
	gaps        []event.Gap
	rollups     map[event.RollupKey]*event.Rollup
	fetched     int
	calls       int     // that were summed up, now or before
	seen        int     // of them, those before
	recent      *recent // nil = none are known
	read        int     // bytes, of files
	kept        int     // bytes that a page has of it, about
	refused     int     // records of the message at hand
}

// What helps where records were not read.
const (
	elsewhere = "look at that time where the records come from, or where else they are kept"
	atOrigin  = "the records that the quarantine keeps tell what they are; the others are where the message came from"
)

// Bounds of what a page keeps, which one message more may exceed, and of the records of
// one message that the quarantine keeps. A page is one frame of the ledger, which has a
// bound of its own.
const (
	mostKept    = 8 << 20
	mostRefused = 1000
	entryBytes  = 512 // of an event, a refusal or a sum beside its text
)

// full reports whether a page has enough.
func (b *Batch) full() bool { return b.kept >= mostKept }

// decode tells out what the records of a message are. Of those that cannot be decoded
// the quarantine keeps some; the others are a gap that counts them.
func (o *Options) decode(message []byte, b *Batch) {
	b.refused = 0
	o.Decode(message, b)
	if n := b.refused - mostRefused; n > 0 {
		b.gaps = append(b.gaps, event.Gap{Source: b.source, From: b.now, To: b.now, Records: n,
			Reason: fmt.Sprintf("%d records of one message cannot be decoded: the quarantine keeps the first %d, the other %d are only counted", b.refused, mostRefused, n), Advice: atOrigin})
	}
	b.refused = 0
}

// newBatch makes an empty one. begun is when the source was first read: what happened
// before is history.
func (o *Options) newBatch(begun time.Time) Batch {
	return Batch{source: o.Key, now: o.Now().UTC(), begun: begun}
}

// Keep takes an event that is kept by itself.
func (b *Batch) Keep(e event.Event) {
	e.Source, e.Observed, e.Backfill = b.source, b.now, e.Time.Before(b.begun)
	b.events = append(b.events, e)
	b.kept += len(e.Raw) + entryBytes
	b.fetched++
}

// Refuse takes a record that cannot be decoded, of which the beginning is kept; reason
// is one of the closed vocabulary of event.Quarantine.
func (b *Batch) Refuse(raw []byte, reason, detail string) {
	if b.refused++; b.refused > mostRefused {
		b.fetched++ // decode tells of it
		return
	}
	b.refuse(raw, reason, detail)
}

// refuse takes a message, a line or a document that is not decoded at all.
func (b *Batch) refuse(raw []byte, reason, detail string) {
	b.fetched++
	q := event.Quarantine{Source: b.source, Reason: reason, Detail: detail, Raw: bytes.Clone(raw[:min(len(raw), maxQuarantined)])}
	b.kept += len(q.Raw) + len(q.Detail) + len(q.Source) + entryBytes
	b.quarantined = append(b.quarantined, q)
}

// Sum takes a call that is summed up with others of its minute, and is told apart from
// a repetition by its place in the stream, and by its id among the recent ones. It
// keeps nothing of e.
func (b *Batch) Sum(e *event.Event) {
	b.fetched++
	b.calls++
	if b.recent.again(e.UpstreamID) {
		b.seen++
		return
	}
	key := e.RollupKey()
	r := b.rollups[key]
	if r == nil {
		key.App, key.Endpoint = strings.Clone(key.App), strings.Clone(key.Endpoint)
		r = &event.Rollup{Minute: time.Unix(key.Minute*60, 0).UTC(), App: key.App, Workload: key.Workload, Endpoint: key.Endpoint, Status: key.Status}
		b.sums()[key] = r
		b.kept += entryBytes
	}
	r.Add(e)
}

func (b *Batch) sums() map[event.RollupKey]*event.Rollup {
	if b.rollups == nil {
		b.rollups = map[event.RollupKey]*event.Rollup{}
	}
	return b.rollups
}

func (b *Batch) join(c *Batch) {
	for key, r := range c.rollups {
		if mine := b.sums()[key]; mine != nil {
			mine.Merge(r)
		} else {
			b.rollups[key] = r
		}
	}

	b.events = append(b.events, c.events...)
	b.quarantined = append(b.quarantined, c.quarantined...)
	b.gaps = append(b.gaps, c.gaps...)
	b.fetched += c.fetched
	b.seen += c.seen
	b.kept += c.kept
}

// page is b in order of time.
func (b *Batch) page(cursor []byte) event.Page {
	slices.SortStableFunc(b.events, func(x, y event.Event) int { return x.Time.Compare(y.Time) })
	p := event.Page{Events: b.events, Quarantined: b.quarantined, Gaps: b.gaps, Fetched: b.fetched, Seen: b.seen, Cursor: cursor}
	for _, key := range slices.SortedFunc(maps.Keys(b.rollups), event.RollupKey.Compare) {
		p.Rollups = append(p.Rollups, *b.rollups[key])
	}
	return p
}
