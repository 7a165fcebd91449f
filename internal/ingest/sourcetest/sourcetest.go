// Package sourcetest owns the conformance suite that every source of every
// provider passes: what the ingest loop relies on.
package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// Break is a way in which an upstream answers badly.
type Break string

// Ways to break an upstream; None mends it.
const (
	None        Break = ""
	Garbage     Break = "garbage"      // 200 with a body that is not the format
	Truncated   Break = "truncated"    // 200 with the beginning of a body
	ServerError Break = "server error" // 5xx
)

// World is an upstream that holds some records and does not change. It should
// give several pages, one of them empty where the format allows it.
type World struct {
	// New starts a source over the upstream, as a restart of the daemon would.
	New func(t *testing.T) ingest.Source
	// Break makes every answer from now on bad; it must know all of Break.
	Break func(how Break)
	// Want holds the upstream ids of the records, sorted; not empty.
	Want []string
	// Single says that the upstream is one object, so that there is one page.
	Single bool
}

// maxPages ends a source that never comes to an end.
const maxPages = 2000

// maxRestarts bounds the restarts of one case; of more pages every n-th is taken.
const maxRestarts = 20

// Run tests one kind of source; world is called for each case.
func Run(t *testing.T, world func(t *testing.T) World) {
	t.Run("everything is read, and every page adds up", func(t *testing.T) {
		w := world(t)
		pages := drain(t, w.New(t), nil)
		if len(pages) < 2 && !w.Single || len(w.Want) == 0 {
			t.Fatalf("the world gives %d pages and %d records: too few to show anything", len(pages), len(w.Want))
		}
		missing(t, w, ids(pages))
		for i, p := range pages {
			check(t, i, p)
		}
	})
	t.Run("a restart behind any page loses nothing", func(t *testing.T) {
		w := world(t)
		pages := drain(t, w.New(t), nil)
		for k := 0; k < len(pages); k += 1 + len(pages)/maxRestarts {
			rest := drain(t, w.New(t), pages[k].Cursor)
			if t.Failed() {
				return
			}
			missing(t, w, append(ids(pages[:k+1]), ids(rest)...))
		}
	})
	t.Run("a page may be read twice", func(t *testing.T) {
		w := world(t)
		s := w.New(t)
		var cursor []byte
		var got []string
		for range maxPages {
			first, second := read(t, s, cursor), read(t, s, cursor)
			got = append(got, ids([]event.Page{first, second})...)
			if cursor = second.Cursor; second.Wait > 0 {
				break
			}
		}
		missing(t, w, got)
	})
	for _, how := range []Break{Garbage, Truncated, ServerError} {
		t.Run("an answer with "+string(how)+" is an error, and costs nothing", func(t *testing.T) {
			broken(t, world(t), how)
		})
	}
	t.Run("a read ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := world(t).New(t).Read(ctx, nil); !errors.Is(err, context.Canceled) {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("a cursor that is none is an error, or a gap behind which all is read anew", func(t *testing.T) {
		for _, c := range []string{"garbage", "{}", `{"v":99}`, "\x00\xff", "[1,2"} {
			w := world(t)
			s := w.New(t)
			p, err := s.Read(t.Context(), []byte(c))
			if err != nil {
				continue
			}
			if len(p.Gaps) != 1 || p.Fetched != 0 || p.Gaps[0].Reason == "" {
				t.Errorf("the cursor %q gives %d records and the gaps %v", c, p.Fetched, p.Gaps)
			}
			missing(t, w, ids(drain(t, s, p.Cursor)))
		}
	})
}

// broken breaks the upstream before each page in turn.
func broken(t *testing.T, w World, how Break) {
	s := w.New(t)
	var cursor []byte
	var got []string
	for range maxPages {
		w.Break(how)
		before := bytes.Clone(cursor)
		if p, err := s.Read(t.Context(), cursor); err == nil && p.Fetched > 0 {
			t.Fatalf("no error; page %+v", p.Cursor)
		}
		if !bytes.Equal(before, cursor) {
			t.Fatal("the source wrote to the caller's cursor")
		}
		w.Break(None)
		p := read(t, s, cursor)
		got = append(got, ids([]event.Page{p})...)
		if cursor = p.Cursor; p.Wait > 0 {
			break
		}
	}
	missing(t, w, got)
}

// drain reads from cursor until the source says that it waits for something new.
func drain(t *testing.T, s ingest.Source, cursor []byte) []event.Page {
	t.Helper()
	var pages []event.Page
	for range maxPages {
		p := read(t, s, cursor)
		pages = append(pages, p)
		if p.Wait > 0 {
			return pages
		}
		cursor = p.Cursor
	}
	t.Fatalf("the source came to no end in %d pages", maxPages)
	return nil
}

func read(t *testing.T, s ingest.Source, cursor []byte) event.Page {
	t.Helper()
	p, err := s.Read(t.Context(), cursor)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return p
}

func check(t *testing.T, i int, p event.Page) {
	t.Helper()
	sum := len(p.Events) + len(p.Objects) + len(p.Quarantined) + p.Seen
	for _, r := range p.Rollups {
		sum += int(r.Calls)
	}
	for _, g := range p.Gaps {
		sum += g.Records
	}
	if p.Fetched != sum {
		t.Errorf("page %d: fetched %d, but it holds %d", i, p.Fetched, sum)
	}
	if len(p.Cursor) == 0 {
		t.Errorf("page %d has no cursor", i)
	}
	if !slices.IsSortedFunc(p.Events, func(a, b event.Event) int { return a.Time.Compare(b.Time) }) {
		t.Errorf("page %d: events are not in order of time", i)
	}
	for _, e := range p.Events {
		if e.Observed.IsZero() || e.Source == "" || e.UpstreamID == "" {
			t.Errorf("page %d: event %q without source, id or time of observation", i, e.UpstreamID)
		}
	}
	if len(p.Objects) > 0 && p.Sync == nil {
		t.Errorf("page %d: objects without a sync", i)
	}
}

func ids(pages []event.Page) []string {
	var got []string
	for _, p := range pages {
		for _, e := range p.Events {
			got = append(got, e.UpstreamID)
		}
		for _, o := range p.Objects {
			got = append(got, o.ID)
		}
	}
	return got
}

func missing(t *testing.T, w World, got []string) {
	t.Helper()
	have := map[string]bool{}
	for _, id := range got {
		have[id] = true
	}
	var lost []string
	for _, id := range w.Want {
		if !have[id] {
			lost = append(lost, id)
		}
	}
	if len(lost) > 0 {
		t.Errorf("%d of %d records are missing, the first is %s", len(lost), len(w.Want), lost[0])
	}
}
