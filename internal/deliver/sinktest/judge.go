package sinktest

import "sync"

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

// Verdict about the alert with that delivery id and title; what is taken is
// counted.
func (j *Judge) Verdict(id, title string) Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	again := j.asked[id]
	j.asked[id] = true
	switch {
	case title == Poison && !j.mended && (j.behaviour == RefuseSome || j.behaviour == RefuseTenth):
		return Never
	case title == Later && (j.behaviour == RetrySome || j.behaviour == RefuseTenth && !again):
		return NotNow
	}
	j.taken = append(j.taken, id)
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
