package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ingest"
)

// Undecoded is a record that could not be decoded and waits for a human. Its frame
// and its place in it are its name, "4711.0".
type Undecoded struct {
	ID   string    `json:"id"`
	Read time.Time `json:"read"`
	event.Quarantine
	at event.Verdict
}

// EachUndecoded calls fn for every record in the ledger that could not be decoded and
// is not settled, oldest first. The record is fn's. packed gives the frames of the
// ledger, or of a view of one.
func EachUndecoded(packed func(func(*event.Packed) error) error, fn func(Undecoded) error) error {
	type place struct {
		lsn   uint64
		index uint32
	}
	settled := map[place]bool{}
	err := packed(func(p *event.Packed) error {
		for _, v := range p.Head.Verdicts {
			settled[place{v.LSN, v.Index}] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	return packed(func(p *event.Packed) error {
		for i, q := range p.Head.Quarantined {
			at := event.Verdict{LSN: p.Head.LSN, Index: uint32(i)}
			if settled[place{at.LSN, at.Index}] {
				continue
			}
			if err := fn(Undecoded{fmt.Sprintf("%d.%d", at.LSN, at.Index), p.Head.Time, q, at}); err != nil {
				return err
			}
		}
		return nil
	})
}

// InputSettlement is what became of a record that a human tried again or gave up.
type InputSettlement struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	Outcome string `json:"outcome"` // one of event.Verdict, or Refused: it stays
	Reason  string `json:"reason,omitempty"`
}

// manyInput is how many records are settled by one frame at most.
const manyInput = 200

// keptOfRecord is how much is kept of a record that cannot be decoded.
const keptOfRecord = 64 << 10

// settleInput answers with what became of the records that the request names by id,
// or of all of a source, or of all, a line of JSON each. drop takes a reason.
func (a *Agent) settleInput(drop bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		reason := strings.TrimSpace(r.Form.Get("reason"))
		if drop && reason == "" {
			http.Error(w, "a record is dropped for a reason: it is missing", http.StatusConflict)
			return
		}
		s := inputs{a: a, ctx: r.Context(), drop: drop, reason: cut(reason)}
		spooled(func(out io.Writer) error {
			s.enc = json.NewEncoder(out)
			return s.run(r.Form["id"], r.Form.Get("source"))
		})(w, r)
	}
}

// inputs settles records, a frame for some of one source.
type inputs struct {
	a      *Agent
	ctx    context.Context
	drop   bool
	reason string
	enc    *json.Encoder
	batch  map[string][]Undecoded // by source
}

// run settles the records with these ids, or where there are none all of source, or
// where that is empty all.
func (s *inputs) run(ids []string, source string) error {
	s.a.inputMu.Lock()
	defer s.a.inputMu.Unlock()
	wanted := map[string]bool{}
	for _, id := range ids {
		wanted[id] = true
	}
	s.batch = map[string][]Undecoded{}
	err := EachUndecoded(s.a.packed, func(u Undecoded) error {
		switch {
		case len(ids) > 0 && !wanted[u.ID], source != "" && source != u.Source:
			return nil
		}
		delete(wanted, u.ID)
		s.batch[u.Source] = append(s.batch[u.Source], u)
		if len(s.batch[u.Source]) == manyInput {
			return s.flush(u.Source)
		}
		return nil
	})
	for source := range s.batch {
		err = errors.Join(err, s.flush(source))
	}
	for id := range wanted {
		err = errors.Join(err, s.enc.Encode(InputSettlement{ID: id, Outcome: Refused, Reason: "no record of that id waits"}))
	}
	return err
}

// packed gives the frames of the running ledger.
func (a *Agent) packed(fn func(*event.Packed) error) error { return a.ledger.Packed(0, fn) }

// flush settles what was gathered of a source, and tells of each record.
func (s *inputs) flush(source string) error {
	batch := s.batch[source]
	s.batch[source] = nil
	loop, decode := s.a.reader(source)
	told := make([]InputSettlement, len(batch))
	var events []event.Event
	var verdicts []event.Verdict
	for i := range batch {
		u := &batch[i]
		outcome, reason, read := s.judge(u, loop, decode)
		told[i] = InputSettlement{u.ID, source, outcome, reason}
		if outcome == Refused {
			continue
		}
		u.at.Outcome = outcome
		if s.drop {
			u.at.Reason = reason
		}
		events, verdicts = append(events, read...), append(verdicts, u.at)
	}
	if len(verdicts) > 0 {
		if err := loop.Settle(s.ctx, events, verdicts); err != nil {
			return err
		}
	}
	for _, t := range told {
		s.a.log.Info("record that could not be decoded", zap.String("id", t.ID), zap.String("source", t.Source), zap.String("outcome", t.Outcome), zap.String("reason", t.Reason))
		if err := s.enc.Encode(t); err != nil {
			return fmt.Errorf("tell of settled records: %w", err)
		}
	}
	return nil
}

// judge says what becomes of a record.
func (s *inputs) judge(u *Undecoded, loop *ingest.Loop, decode func([]byte) ([]event.Event, error)) (outcome, reason string, events []event.Event) {
	switch {
	case loop == nil:
		return Refused, "source " + u.Source + " is not in the configuration", nil
	case s.drop:
		return event.OutcomeDropped, s.reason, nil
	case decode == nil:
		return Refused, "this source reads no single record: print it with show --raw, and replay it", nil
	case len(u.Raw) >= keptOfRecord || u.Reason == "too_large":
		return Refused, "only the beginning of it was kept: " + cut(u.Detail), nil
	}
	events, err := decode(u.Raw)
	switch {
	case err != nil:
		return Refused, cut(err.Error()), nil
	case len(events) == 0:
		return event.OutcomeSuperseded, "no event: its source reads the inventory anew, or passes such records over", nil
	}
	return event.OutcomeRead, "", events
}

// reader is the loop of a source and its decoder, nil where the configuration has no
// such source.
func (a *Agent) reader(source string) (*ingest.Loop, func([]byte) ([]event.Event, error)) {
	for _, t := range a.tenants {
		for i, n := range t.sources {
			if n.Key == source {
				return t.loops[i], n.Decode
			}
		}
	}
	return nil, nil
}
