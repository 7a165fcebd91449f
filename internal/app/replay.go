package app

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/rule"
)

// ReplayTenant is the tenant of records that name none.
const ReplayTenant = "00000000-0000-0000-0000-00000000aaaa"

// ReplayOptions of NewReplay.
type ReplayOptions struct {
	Rules  *rule.Set
	Tenant string                       // of records that name none; ReplayTenant
	Alert  func(*event.Alert) error     // gets each alert, in the order in which they arise
	Refuse func(file string, err error) // gets each record that is quarantined; may be nil
	Step   func(ReplaySummary)          // called now and then while Run works; may be nil
	Now    func() time.Time             // for objects without any event; time.Now
	Watch  detect.Watch                 // sees how rules are evaluated; may be zero
}

// ReplaySummary counts what a replay did.
type ReplaySummary struct {
	Files       int            `json:"files"`
	Read        int            `json:"records_read"`        // decoded and quarantined
	Decoded     int            `json:"records_decoded"`     // unique, versions and duplicates
	Unique      int            `json:"records_unique"`      // ids
	Versions    int            `json:"records_versions"`    // a known id with other content
	Duplicates  int            `json:"records_duplicates"`  // a known id with known content
	Quarantined map[string]int `json:"records_quarantined"` // by reason
	Shapes      map[string]int `json:"shapes"`
	Tenants     int            `json:"tenants"`
	First       time.Time      `json:"first,omitzero"` // event time of the oldest event that was applied
	Last        time.Time      `json:"last,omitzero"`
	Alerts      map[string]int `json:"alerts"` // by rule
	Failed      []FailedFile   `json:"files_failed,omitempty"`
}

// FailedFile is a file that was not read to its end; what was read of it counts.
type FailedFile struct {
	Name  string `json:"file"`
	Error string `json:"error"`
}

// Replay runs exported records through the pipeline of the daemon: normalise,
// dedupe, detect. It needs no configuration, no network and no state. Records of
// the inventory are what is known from the beginning; nothing else is learnt
// silently: an old event alerts as a fresh one does.
//
// Read all files, then Run once, then Close.
type Replay struct {
	o       ReplayOptions
	dec     *normalise.Decoder
	events  *spool
	tenants map[string]*replayTenant
	sum     ReplaySummary
}

// NewReplay reads nothing yet.
func NewReplay(o ReplayOptions) *Replay {
	if o.Tenant == "" {
		o.Tenant = ReplayTenant
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Refuse == nil {
		o.Refuse = func(string, error) {}
	}
	if o.Step == nil {
		o.Step = func(ReplaySummary) {}
	}
	return &Replay{o: o, dec: normalise.New(o.Tenant), events: newSpool(spoolMemory), tenants: map[string]*replayTenant{}, sum: ReplaySummary{
		Quarantined: map[string]int{}, Shapes: map[string]int{}, Alerts: map[string]int{}}}
}

// Summary is what was counted so far.
func (r *Replay) Summary() ReplaySummary {
	s := r.sum
	s.Tenants = len(r.tenants)
	s.Quarantined, s.Shapes, s.Alerts = maps.Clone(s.Quarantined), maps.Clone(s.Shapes), maps.Clone(s.Alerts)
	return s
}

// Fail records a file that could not be opened.
func (r *Replay) Fail(name string, err error) {
	r.sum.Failed = append(r.sum.Failed, FailedFile{name, err.Error()})
}

// Read decodes the records of one file, plain or gzip. An error means that the
// rest of the file could not be read; it is in the summary too.
func (r *Replay) Read(name string, in io.Reader) error {
	r.sum.Files++
	plain, err := gunzip(in)
	if err == nil {
		err = normalise.Records(plain, func(raw []byte, bad error) error { return r.record(name, raw, bad) })
	}
	if err != nil {
		r.Fail(name, err)
	}
	return err
}

// gunzip decides by the first two bytes, never by a name.
func gunzip(in io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(in, 64<<10)
	magic, err := b.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read records: %w", err)
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("read gzip: %w", err)
	}
	return z, nil
}

func (r *Replay) record(file string, raw []byte, bad error) error {
	r.sum.Read++
	var rec normalise.Record
	if bad == nil {
		rec, bad = r.dec.Exported(raw)
	}
	if bad != nil {
		r.sum.Quarantined[normalise.ReasonOf(bad)]++
		r.o.Refuse(file, bad)
		return nil
	}
	rec.NameSheet(filepath.Base(file))
	r.sum.Decoded++
	r.sum.Shapes[rec.Shape]++
	t := r.tenant(rec.Tenant)
	if rec.Object != nil {
		t.objects = append(t.objects, datedObject{*rec.Object, rec.At})
		return nil
	}
	e := rec.Event
	e.Source, e.Observed = sourceOf(e), e.Time
	t.sources[e.Source] = true
	return r.events.add(e)
}

// sourceOf names the source that the daemon would have read e from: rules tell
// by it which log is known from when on.
func sourceOf(e *event.Event) string {
	switch e.Class {
	case event.ClassSignIn:
		return "entra/replay/signins_" + cmp.Or(e.SignIn.Kind, "users") // nobody knows of which kind
	case event.ClassAlert:
		return "entra/replay/alerts"
	case event.ClassActivity:
		return "entra/replay/activity"
	}
	return "entra/replay/directory_audits"
}

func (r *Replay) tenant(id string) *replayTenant {
	if t := r.tenants[id]; t != nil {
		return t
	}
	// Settle: there is no later page of a first sync to wait for.
	m := detect.New(r.o.Rules, detect.Options{Provider: "entra", Tenant: id, Settle: -1, Watch: r.o.Watch})
	t := &replayTenant{replay: r, machine: m, sources: map[string]bool{}, seen: map[string]*ingest.Seen{}}
	t.lane = ingest.NewLane(m, t)
	r.tenants[id] = t
	return t
}

// Run applies all events in order of their time. An error is that of the
// function that takes alerts, or of the temporary file.
func (r *Replay) Run(ctx context.Context) error {
	done := 0
	err := r.events.each(func(e *event.Event) error {
		if done++; done%stepEvery == 0 {
			r.o.Step(r.Summary())
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.sum.First.IsZero() {
			r.sum.First = e.Time
		}
		r.sum.Last = e.Time
		return r.tenants[e.Tenant].apply(ctx, e)
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(r.tenants)) {
		if err := r.tenants[id].end(ctx); err != nil {
			return err
		}
	}
	return nil
}

const stepEvery = 10_000

// Close releases the temporary file.
func (r *Replay) Close() error { return r.events.close() }
