package sinktest

import (
	"strings"
	"sync"
)

// Verdict is what a destination says of one alert.
type Verdict uint8

// Verdicts.
const (
	Take Verdict = iota
	Never
	NotNow
)

// Judge decides about single alerts as a Behaviour says. Destinations of tests
// ask it; they say the verdict in the words of their protocol.
type Judge struct {
	behaviour Behaviour

	mu     sync.Mutex
	asked  map[string]bool
	taken  []string
	mended bool
}

// NewJudge is a Judge for RefuseSome, RetrySome, RefuseTenth; for every other
// behaviour it takes all.
func NewJudge(b Behaviour) *Judge { return &Judge{behaviour: b, asked: map[string]bool{}} }

// Verdict about the alert with that delivery id, whose title is in text; what is
// taken is counted.
func (j *Judge) Verdict(id, text string) Verdict { return j.all([]Item{{id, text}}) }

// all is the verdict about a request with several alerts: one that is refused
// refuses all, and only when all are taken is one.
func (j *Judge) all(items []Item) Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	worst := Take
	for _, x := range items {
		worst = max(worst, j.weigh(x))
		j.asked[x.ID] = true
	}
	if worst == Take {
		for _, x := range items {
			j.taken = append(j.taken, x.ID)
		}
	}
	return worst
}

func (j *Judge) weigh(x Item) Verdict {
	b, again := j.behaviour, j.asked[x.ID]
	switch {
	case strings.Contains(x.Title, Poison) && !j.mended && (b == RefuseSome || b == RefuseTenth):
		return Never
	case strings.Contains(x.Title, Later) && (b == RetrySome || b == RefuseTenth && !again):
		return NotNow
	}
	return Take
}

// Mend takes the cause of refusals away.
func (j *Judge) Mend() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mended = true
}

// Taken returns the delivery ids of the alerts that were taken, in order, each
// as often as it was.
func (j *Judge) Taken(int) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string{}, j.taken...)
}
