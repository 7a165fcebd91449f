package app

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
)

// tenant is one source block at work: its machine, its lane and the loops of
// its sources. Key is "entra/contoso"; frames of its sources begin with it.
type tenant struct {
	key     string
	id      string // the provider's
	machine *detect.Machine
	lane    *ingest.Lane
	seen    map[string]*ingest.Seen
	known   map[string]bool // sources whose state came out of the ledger
	loops   []*ingest.Loop
	sources []msgraph.Named
	rules   rulesView
	blocks  []*sources
	ahead   time.Time // the day for which usage was worked out ahead
}

// add takes in the sources of a block.
func (t *tenant) add(s *sources) {
	t.blocks = append(t.blocks, s)
	for _, n := range s.list {
		t.seen[n.Key] = ingest.NewSeen(seenFor)
	}
	t.sources = append(t.sources, s.list...)
}

func (t *tenant) close() {
	for _, s := range t.blocks {
		s.close()
	}
}

// delay is how far complete_through of a source may lie behind; 0 = unknown.
func (t *tenant) delay(source string) time.Duration {
	for _, s := range t.blocks {
		if s.delay != nil && slices.ContainsFunc(s.list, func(n msgraph.Named) bool { return n.Key == source }) {
			return s.delay(source)
		}
	}
	return 0
}

// budgets says how much of the provider's limits is needed.
func (t *tenant) budgets() (all []msgraph.Budget) {
	for _, s := range t.blocks {
		if s.budgets != nil {
			all = append(all, s.budgets()...)
		}
	}
	return all
}

// load is how much of the provider's limits is needed.
func (t *tenant) load() (all []BudgetStatus) {
	for _, b := range t.budgets() {
		all = append(all, BudgetStatus{t.key, b.Family, b.Load})
	}
	return all
}

// owns reports whether a frame is the tenant's.
func (t *tenant) owns(f *event.Frame) bool {
	return f.Source == t.key || strings.HasPrefix(f.Source, t.key+"/")
}

func (t *tenant) replay(f *event.Frame) {
	if s := t.seen[f.Source]; s != nil {
		s.Observe(f)
		t.known[f.Source] = true
	}
	t.machine.Replay(f)
}

// tick appends the time and what each source is complete through.
func (t *tenant) tick(ctx context.Context, now time.Time) error {
	f := &event.Frame{Kind: event.FrameTick, Source: t.key, Time: now.UTC()}
	for _, l := range t.loops {
		if s := l.Status(); !s.CompleteThrough.IsZero() {
			f.CompleteThrough = append(f.CompleteThrough, event.SourceTime{Source: s.Key, Time: s.CompleteThrough})
		}
	}
	sort.Slice(f.CompleteThrough, func(i, j int) bool { return f.CompleteThrough[i].Source < f.CompleteThrough[j].Source })
	return t.lane.Note(ctx, f)
}

// useRules appends the rules, unless they are those in force. They do not wait
// for room: while they do, no sink takes what fills the ledger.
func (t *tenant) useRules(ctx context.Context, blob *event.RulesBlob, revision string, now time.Time) error {
	if set := t.machine.Set(); set != nil && set.Revision == revision {
		return nil
	}
	return t.lane.Note(ctx, &event.Frame{Kind: event.FrameRules, Source: t.key, Time: now.UTC(), Rules: blob})
}

// freeze keeps the state as it is now; write writes it, and may be called while the
// tenant goes on.
func (t *tenant) freeze() (write func(io.Writer) error, err error) {
	machine, err := t.machine.Freeze()
	if err != nil {
		return nil, err
	}
	keys := slices.Sorted(maps.Keys(t.seen))
	sections := []func(io.Writer) error{machine, func(w io.Writer) error {
		_, err := io.WriteString(w, strings.Join(keys, "\n"))
		return err
	}}
	for _, k := range keys {
		sections = append(sections, t.seen[k].Freeze())
	}
	return func(w io.Writer) error {
		for _, s := range sections {
			if err := writeSection(w, s); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (t *tenant) restore(r io.Reader) error {
	if err := readSection(r, t.machine.Restore); err != nil {
		return fmt.Errorf("restore %s: %w", t.key, err)
	}
	names, err := readText(r)
	if err != nil {
		return err
	}
	for _, k := range strings.Split(string(names), "\n") {
		restore := func(io.Reader) error { return nil }
		if s := t.seen[k]; s != nil {
			restore, t.known[k] = s.Restore, true
		}
		if err := readSection(r, restore); err != nil {
			return fmt.Errorf("restore %s: %w", k, err)
		}
	}
	return nil
}
