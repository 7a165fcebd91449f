package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

// Settlement is what became of a dead letter that a human asked for.
type Settlement struct {
	ID      event.ID `json:"id"`
	Sink    string   `json:"sink"`
	Outcome string   `json:"outcome"` // event.OutcomeDelivered, event.OutcomeDropped, or "refused": it stays
	Reason  string   `json:"reason,omitempty"`
}

// Refused is the outcome of a letter that its sink refused again.
const Refused = "refused"

// settling answers with what do made of the letter that the path names.
func (a *Agent) settling(do func(context.Context, *event.DeadLetter, string) (Settlement, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var id event.ID
		if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		d, err := a.ledger.DeadLetter(id)
		var s Settlement
		if err == nil {
			s, err = do(r.Context(), d, strings.TrimSpace(r.FormValue("reason")))
		}
		switch {
		case errors.Is(err, ledger.ErrNoDeadLetter):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(s)
		}
	}
}

// retryDeadLetter gives a letter to its sink once more. One that is refused again
// stays, with the new reason.
func (a *Agent) retryDeadLetter(ctx context.Context, d *event.DeadLetter, _ string) (Settlement, error) {
	worker := a.worker(d.Sink)
	if worker == nil {
		return Settlement{}, fmt.Errorf("sink %s is not in the configuration", d.Sink)
	}
	reason, err := worker.Again(ctx, d.Alert)
	if err != nil {
		return Settlement{}, fmt.Errorf("%s does not have it: %w", d.Sink, err)
	}
	if reason != "" {
		d.Reason, d.Time, d.Attempts = reason, a.o.Now().UTC(), d.Attempts+1
		return Settlement{d.ID, d.Sink, Refused, reason}, a.ledger.PutDeadLetter(*d)
	}
	return a.settle(d, event.OutcomeDelivered, "tried again")
}

func (a *Agent) dropDeadLetter(_ context.Context, d *event.DeadLetter, reason string) (Settlement, error) {
	if reason == "" {
		return Settlement{}, errors.New("a letter is dropped for a reason: it is missing")
	}
	return a.settle(d, event.OutcomeDropped, reason)
}

func (a *Agent) settle(d *event.DeadLetter, outcome, reason string) (Settlement, error) {
	if err := a.ledger.SettleDeadLetter(d.ID, outcome, cut(reason)); err != nil {
		return Settlement{}, err
	}
	a.log.Info("dead letter settled", zap.String("sink", d.Sink), zap.Stringer("alert", d.Alert.ID), zap.Stringer("delivery", d.Alert.DeliveryID), zap.String("outcome", outcome), zap.String("reason", cut(reason)))
	return Settlement{d.ID, d.Sink, outcome, reason}, nil
}

func (a *Agent) worker(sink string) *deliver.Worker {
	for _, w := range a.workers {
		if w.Status().Sink == sink {
			return w
		}
	}
	return nil
}

// trimEvery is how often old dead letters are looked for.
const trimEvery = time.Hour

// trimDeadLetters drops what waited for a human too long.
func (a *Agent) trimDeadLetters(now time.Time) {
	if now.Sub(a.watched.trimmed) < trimEvery {
		return
	}
	a.watched.trimmed = now
	n, err := a.ledger.TrimDeadLetters(now.Add(-a.plan.Config.Agent.DeadLetters))
	if n > 0 {
		a.log.Warn("dead letters dropped that were older than dead_letter_history", zap.Int("letters", n))
	}
	if err != nil {
		a.log.Error("cannot trim the dead letter", zap.Error(err))
	}
}
