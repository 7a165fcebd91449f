package app

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// AppChanges is what the history that the ledger holds tells of changes of an app.
type AppChanges struct {
	Source  string            `json:"source"`
	Key     string            `json:"key"`
	Name    string            `json:"name"`
	Since   time.Time         `json:"since"`           // what happened before was not looked at
	Held    time.Time         `json:"held,omitzero"`   // what was read before is no longer in the ledger
	Changes []AppChange       `json:"changes"`         // the newest first
	Matched int               `json:"matched"`         // as many there are
	Links   map[string]string `json:"links,omitempty"` // pages about the app
}

// AppChange is one event of an app: of the audit log, or a difference that the
// inventory saw.
type AppChange struct {
	Time        time.Time        `json:"time"`
	Class       string           `json:"class"`
	Action      string           `json:"action"`
	Activity    string           `json:"activity,omitempty"`
	Result      string           `json:"result,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	Actor       string           `json:"actor,omitempty"`
	ActorType   string           `json:"actor_type,omitempty"`
	IP          string           `json:"ip,omitempty"`
	Permissions []string         `json:"permissions,omitempty"` // granted; those with "-" before them revoked
	Credential  string           `json:"credential,omitempty"`
	Changes     []ChangedMembers `json:"changes,omitempty"`
	EventID     string           `json:"event_id"`
	UpstreamID  string           `json:"upstream_id,omitempty"`
	LSN         uint64           `json:"frame"`
}

// ChangedMembers is one property with its values before and after.
type ChangedMembers struct {
	Name string   `json:"name"`
	Old  []string `json:"old,omitempty"`
	New  []string `json:"new,omitempty"`
}

// ChangesQuery asks for changes of an app.
type ChangesQuery struct {
	Name  string
	Where string        // in the language of rules; "" = all
	Since time.Duration // how far back
	Limit int           // at most so many, the newest
}

// Bounds of a question for changes.
const (
	defaultChanges = 50
	maxChanges     = 10_000
)

// Changes looks through the history of the ledger. It holds up nothing; a long history
// takes its time, until ctx ends.
func (a *Agent) Changes(ctx context.Context, q ChangesQuery) (out AppChanges, err error) {
	if q.Limit < 1 || q.Limit > maxChanges || q.Since <= 0 {
		return out, &badQuestion{"limit is a number from 1 to " + strconv.Itoa(maxChanges) + ", since a time that is over"}
	}
	t, key, err := a.locate(q.Name)
	if err != nil {
		return out, err
	}
	var ids []string
	match := func(*event.Event) bool { return true }
	err = t.lane.Hold(func(uint64) error {
		v := t.machine.Inventory().Look(key)
		if v == nil {
			return errNoApp
		}
		for _, id := range [...]string{v.AppID, v.ID, v.ObjectID} {
			if id != "" {
				ids = append(ids, id)
			}
		}
		out = AppChanges{Source: t.key, Key: keyOf(v), Name: v.Name, Links: a.linksOf(t, v)}
		if q.Where == "" {
			return nil
		}
		f, err := eventFilterOf(t.machine.Set(), q.Where)
		if err == nil {
			match = func(e *event.Event) bool { return f.Match(&rule.Env{Event: e, Now: e.Time}) == rule.True }
		}
		return err
	})
	if err != nil {
		return out, err
	}
	out.Since = a.o.Now().Add(-q.Since).UTC()
	return out, a.readChanges(ctx, t, ids, match, q.Limit, &out)
}

func (a *Agent) readChanges(ctx context.Context, t *tenant, ids []string, match func(*event.Event) bool, limit int, out *AppChanges) error {
	var kept []AppChange // a ring: the oldest makes room
	err := a.ledger.Packed(0, func(p *event.Packed) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if out.Held.IsZero() {
			out.Held = p.Head.Time.UTC()
		}
		if !p.Head.Kind.Read() || !t.owns(&p.Head) {
			return nil
		}
		return changesIn(p, out.Since, ids, match, func(e *event.Event) {
			if len(kept) < limit {
				kept = append(kept, change(p.Head.LSN, e))
			} else {
				kept[out.Matched%limit] = change(p.Head.LSN, e)
			}
			out.Matched++
		})
	})
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &badQuestion{"the history is long: ask for less of it by --since"}
	}
	out.Changes = make([]AppChange, 0, len(kept))
	for i := range kept {
		out.Changes = append(out.Changes, kept[(out.Matched-1-i)%limit%len(kept)])
	}
	return err
}

// changesIn calls f with the events of a frame that tell of a change of one of the ids.
func changesIn(p *event.Packed, since time.Time, ids []string, match func(*event.Event) bool, f func(*event.Event)) error {
	var brief event.Brief
	for i := range p.Events() {
		if err := p.Brief(i, &brief); err != nil {
			return err
		}
		if brief.Class != event.ClassAudit && brief.Class != event.ClassInventory || brief.Time.Before(since) {
			continue
		}
		var e event.Event
		if err := p.Event(i, &e); err != nil {
			return err
		}
		if e.Version == 0 && isAbout(&e, ids) && match(&e) {
			f(&e)
		}
	}
	return nil
}

func isAbout(e *event.Event, ids []string) bool {
	for _, id := range ids {
		for _, of := range [...]string{e.App.AppID, e.App.ID, e.App.ObjectID, e.Target.ID} {
			if strings.EqualFold(id, of) {
				return true
			}
		}
	}
	return false
}

// change keeps nothing of e, which lies in its frame.
func change(lsn uint64, e *event.Event) AppChange {
	c := AppChange{
		Time: e.Time, Class: strings.Clone(e.Class), Action: strings.Clone(e.Action), Activity: strings.Clone(e.Activity), Result: strings.Clone(string(e.Result)), Reason: strings.Clone(e.ResultReason),
		Actor: strings.Clone(firstOf(e.Actor.Name, e.Actor.UPN, e.Actor.ID)), ActorType: strings.Clone(e.Actor.Type), IP: strings.Clone(e.Origin.IP), EventID: e.ID.String(), UpstreamID: strings.Clone(e.UpstreamID), LSN: lsn,
	}
	for _, p := range e.Permissions {
		name := strings.Clone(firstOf(p.Name, p.ID))
		if p.Removed {
			name = "-" + name
		}
		c.Permissions = append(c.Permissions, name)
	}
	if k := &e.Credential; k.KeyID != "" || k.Kind != "" {
		c.Credential = strings.TrimSpace(k.Kind + " " + k.KeyID)
	}
	for _, x := range e.Changes {
		m := ChangedMembers{Name: strings.Clone(x.Name)}
		for _, s := range x.Old {
			m.Old = append(m.Old, strings.Clone(s))
		}
		for _, s := range x.New {
			m.New = append(m.New, strings.Clone(s))
		}
		c.Changes = append(c.Changes, m)
	}
	return c
}

func firstOf(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

// changesTime is how long one question may read the history.
const changesTime = 25 * time.Second

// serveChanges answers GET /app/changes?name=…&where=…&since=…&limit=… .
func (a *Agent) serveChanges(w http.ResponseWriter, r *http.Request) {
	q := ChangesQuery{Name: r.FormValue("name"), Where: r.FormValue("where"), Since: 30 * 24 * time.Hour, Limit: defaultChanges}
	var err error
	if s := r.FormValue("since"); s != "" {
		if q.Since, err = time.ParseDuration(s); err != nil {
			answer(w, nil, &badQuestion{"since is no duration"})
			return
		}
	}
	if s := r.FormValue("limit"); s != "" {
		if q.Limit, err = strconv.Atoi(s); err != nil {
			answer(w, nil, &badQuestion{"limit is no number"})
			return
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), changesTime)
	defer cancel()
	c, err := a.Changes(ctx, q)
	answer(w, c, err)
}
