package app

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// watchGaps tells of what a source has skipped: as long as it asks for it again
// and does not get it, and for a day where it never will ask again.
func (a *Agent) watchGaps(s ingest.Status, now time.Time) {
	key, lostAt := "gap/"+s.Key, s.LostAt
	if told, open := a.health.since(key); open && lostAt.IsZero() && told.Before(a.watched.started) {
		lostAt = told // nobody knows any more which of the two it was
	}
	switch {
	case s.LastRead.IsZero(): // nothing is known yet
	case len(s.Gaps) > 0:
		a.health.Raise(key, event.SeverityHigh, "A part of a source cannot be read",
			fmt.Sprintf("%s: skipped %s%s. Nothing is known of what happened there. It is asked for again; the alarm ends when it was read, or lies further back than the source asks.", s.Key, spans(s.Gaps), because(s.GapReason)))
	case now.Sub(lostAt) >= quietTime:
		a.health.Resolve(key, "nothing is skipped any more that is still asked for")
	case !s.LostAt.IsZero():
		a.health.Raise(key, event.SeverityHigh, "A part of a source was not read",
			fmt.Sprintf("%s: skipped %s%s. It is not asked for again: %s. The alarm ends after a day without another one.", s.Key, spans([]event.Gap{s.Lost}), because(s.Lost.Reason), cmp.Or(s.Lost.Advice, lookElsewhere)))
	}
}

// lookElsewhere helps where the source does not say what does.
const lookElsewhere = "look at that time where else its records are kept"

const maxSpans = 3 // that a text names

// spans is "A to B, C to D and 3 more".
func spans(gaps []event.Gap) string {
	var parts []string
	for _, g := range gaps[:min(len(gaps), maxSpans)] {
		parts = append(parts, g.From.UTC().Format(time.RFC3339)+" to "+g.To.UTC().Format(time.RFC3339))
	}
	text := strings.Join(parts, ", ")
	if n := len(gaps) - len(parts); n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ", because: " + cut(reason)
}
