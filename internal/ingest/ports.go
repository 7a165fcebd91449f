// Package ingest owns the loop read -> dedupe -> enrich -> detect -> append:
// one loop per source, back-pressure by calls, a source advances only after
// fsync.
package ingest

import (
	"context"

	"github.com/appgovd/appgovd/internal/event"
)

// Source reads pages from one provider. It does not retry: it classifies the
// error (package fault) and the loop decides. Read owns nothing of cursor after
// it returns; the page it returns is the caller's.
type Source interface {
	// Read returns the page after cursor (nil = never read before). It may
	// block for its budget, but returns when ctx ends. Beside an error the page holds
	// nothing; where it has a cursor, that one is kept.
	Read(ctx context.Context, cursor []byte) (event.Page, error)
}

// Enricher adds to events in place (before they are appended, never after) and
// cannot fail: what it cannot find it notes on the event.
type Enricher interface {
	Enrich(ctx context.Context, events []event.Event)
}

// Detector applies a frame to the state: it may append derived events and sets
// alerts. It is called under the tenant's lock, in frame order, exactly once
// per frame.
type Detector interface {
	Apply(f *event.Frame)
}

// Log is the ledger as the loop needs it.
type Log interface {
	// Reserve waits until there is room for another page (policy `block`).
	Reserve(ctx context.Context) error
	// Fit moves records that are too large to be kept to f's quarantine.
	Fit(f *event.Frame)
	// Append enqueues f, giving it its LSN and AlertBase at once. wait returns
	// nil once the frame is fsynced; its error means that the log cannot go on,
	// and the frame must not be offered again. The log owns f from here on.
	Append(f *event.Frame) (wait func(context.Context) error, err error)
}
