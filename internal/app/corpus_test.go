package app

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/rule"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// corpusEvents are the events that the normaliser makes of every JSON object of the
// corpus, however deep it lies, each once.
func corpusEvents(t *testing.T) []*event.Event {
	t.Helper()
	dec := normalise.New(ReplayTenant)
	known := map[event.ID]bool{}
	var out []*event.Event
	take := func(raw []byte) {
		rec, err := dec.Exported(raw)
		if err == nil && rec.Event != nil && !known[rec.Event.Content] {
			known[rec.Event.Content] = true
			out = append(out, rec.Event)
		}
	}
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case []any:
			for _, y := range x {
				walk(y)
			}
		case map[string]any:
			raw, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			take(raw)
			for _, y := range x {
				walk(y)
			}
		}
	}
	err := filepath.WalkDir(servicetest.CorpusDir(t), func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasPrefix(filepath.Ext(name), ".json") {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		in := json.NewDecoder(bufio.NewReader(bytes.NewReader(b)))
		for in.More() {
			var v any
			if err := in.Decode(&v); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			walk(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out, func(a, b *event.Event) int { return bytes.Compare(a.Content[:], b.Content[:]) })
	return out
}

// corpusWhere are conditions of every kind that the index knows, and some that it
// does not; words in capitals stand for values of an event.
var corpusWhere = []string{
	`actor.id == ACTOR && result == RESULT`,
	`any_of(app.app_id, APP, "none") || any_of(permissions, PERMISSION)`,
	`source.ip == IP && none_of(source.country, "DE", "FR")`,
	`contains(app.name, PART) || ends_with(source.user_agent, AGENT)`,
	`starts_with(lower(actor.upn), UPN) && !backfill`,
	`matches(activity, "(?i)^(update|add|consent)") && glob(actor.name, "*a*")`,
	`length(permissions) >= NUMBER && has_permission(permissions, PERMISSION)`,
	`length(changes) > NUMBER && contains(activity, ACTIVITY)`,
	`coalesce(source.asn, 0) <= NUMBER ? app.tier <= 2 : actor.type == TYPE`,
	`app.enabled && app.tier <= NUMBER || activity != ACTIVITY`,
	`in_list("seen", actor.id) && time > time("2000-01-01")`,
}

// corpusRules are n rules whose constants are values of the events, on the actions
// of the events.
func corpusRules(n int, events []*event.Event) string {
	var b strings.Builder
	b.WriteString("list \"seen\" {\n  entries = [")
	for _, e := range events[:len(events)/2] {
		b.WriteString(quoted(e.Actor.ID) + ", ")
	}
	b.WriteString("]\n}\n")
	for i := range n {
		e := events[i/len(corpusWhere)%len(events)]
		permission := "Mail.Read"
		if len(e.Permissions) > 0 {
			permission = e.Permissions[0].Name
		}
		where := strings.NewReplacer("ACTOR", quoted(e.Actor.ID), "RESULT", quoted(string(e.Result)), "APP", quoted(e.App.AppID), "PERMISSION", quoted(permission), "IP", quoted(e.Origin.IP),
			"PART", quoted(end(e.App.Name)), "AGENT", quoted(end(e.Origin.UserAgent)), "UPN", quoted(e.Actor.UPN[:min(3, len(e.Actor.UPN))]), "NUMBER", fmt.Sprint(i%3),
			"ACTIVITY", quoted(e.Activity), "TYPE", quoted(e.Actor.Type)).Replace(corpusWhere[i%len(corpusWhere)])
		fmt.Fprintf(&b, "rule \"c.r%04d\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [%q]\n  where = %s\n}\n", i, e.Action, where)
	}
	return b.String()
}

func quoted(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '$' || r == '%' {
			return '?'
		}
		return r
	}, s)
	return fmt.Sprintf("%q", s)
}

// end is the end of a text: what is in the middle of no character.
func end(s string) string { return strings.ToValidUTF8(s[max(0, len(s)-6):], "") }

func matching(rules []*rule.Rule, env *rule.Env) []string {
	var out []string
	for _, r := range rules {
		if r.Match(env) == rule.True {
			out = append(out, r.ID)
		}
	}
	return out
}

// The rules that ship and 1,000 more match the same on every event of the corpus,
// under its own action and under every other, with and without an app in the
// inventory, whether the index chooses among them or not.
func TestTheIndexLeavesOutNoMatchOnTheCorpus(t *testing.T) {
	events := corpusEvents(t)
	shipped, err := ShippedRules()
	if err != nil {
		t.Fatal(err)
	}
	made := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "made.hcl", Text: []byte(corpusRules(1000, events))}}}
	for name, blob := range map[string]*event.RulesBlob{"shipped": shipped, "made": made} {
		set, diags := rule.Compile(blob)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		actions := map[string]bool{}
		for _, r := range set.Rules {
			for _, a := range r.On {
				actions[a] = true
			}
		}
		m := set.Matcher()
		matches, asked, all, looks := 0, 0, 0, 0
		for _, own := range events {
			for action := range actions {
				e := *own
				e.Action = action
				for _, app := range []*event.AppView{nil, {ID: e.App.ID, AppID: e.App.AppID, Name: e.App.Name, Origin: "external", Enabled: true, Tier: 1, FirstSeen: e.Time}} {
					env := &rule.Env{Event: &e, App: app, Now: e.Time}
					every := set.Candidates(action)
					want := matching(every, env)
					candidates := m.Candidates(env)
					if got := matching(candidates, env); !slices.Equal(got, want) {
						t.Fatalf("%s: the index gives %v, all rules give %v for %+v", name, got, want, e)
					}
					matches, asked, all, looks = matches+len(want), asked+len(candidates), all+len(every), looks+1
				}
			}
		}
		if matches == 0 || asked >= all {
			t.Errorf("%s: %d matches, %d candidates of %d: it says little", name, matches, asked, all)
		}
		t.Logf("%s: %d events, %d looks, %d matches, %d candidates of %d", name, len(events), looks, matches, asked, all)
	}
}
