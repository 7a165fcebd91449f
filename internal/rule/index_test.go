package rule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// words are values of events and constants of rules alike, with what folding and
// bad UTF-8 make of them.
var words = []string{
	"mail", "Mail.Read", "MAIL.SEND", "mail.readwrite.all", "Kelvin", "\u212aelvin", "ſend", "send", "straße", "STRASSE", "İx", "x", "", "a", "aa", "aaa", "\xff", "a\xe2\x82", "€uro",
	"python-requests/2.31", "curl/8", "Mozilla/5.0 (X11; Linux) Gecko", "success", "failure", "a text that is longer than what the automaton looks for, mail", "looks for, mail", "σς", "ΣΣ",
}

func word(r *rand.Rand) string {
	if r.IntN(4) == 0 {
		return words[r.IntN(len(words))] + words[r.IntN(len(words))]
	}
	return words[r.IntN(len(words))]
}

func wordList(r *rand.Rand) []string {
	var out []string
	for range r.IntN(4) {
		out = append(out, word(r))
	}
	return out
}

// quoted is a constant of the language; bad UTF-8 cannot be written in it.
func quoted(r *rand.Rand) string {
	return fmt.Sprintf("%q", strings.ToValidUTF8(word(r), "?"))
}

// condition makes any expression of type bool over what the generated events have.
func condition(r *rand.Rand, depth int) string {
	text := []string{"app.name", "source.user_agent", "actor.id", "lower(app.name)", "result", `detail("Key")`, `coalesce(actor.upn, "mail")`}[r.IntN(7)]
	sets := []string{"consent.scopes", "permissions", `added("Tags")`, "app.reply_urls", "changes", "permissions.delegated"}[r.IntN(6)]
	num := []string{"source.asn", "app.tier", "length(app.name)", "length(permissions)", "app.users"}[r.IntN(5)]
	if depth > 0 {
		a, b := condition(r, depth-1), condition(r, depth-1)
		switch r.IntN(6) {
		case 0, 1:
			return "(" + a + " && " + b + ")"
		case 2:
			return "(" + a + " || " + b + ")"
		case 3:
			return "!(" + a + ")"
		case 4:
			return "(" + a + " ? " + b + " : " + condition(r, depth-1) + ")"
		}
	}
	op := []string{"==", "!=", "<", "<=", ">", ">="}
	switch r.IntN(17) {
	case 0:
		return text + " " + op[r.IntN(2)] + " " + quoted(r)
	case 1:
		return quoted(r) + " == " + text
	case 2, 3:
		return fmt.Sprintf("%s(%s, %s, %s)", []string{"contains", "starts_with", "ends_with", "any_of", "none_of"}[r.IntN(5)], []string{text, sets}[r.IntN(2)], quoted(r), quoted(r))
	case 4:
		return fmt.Sprintf("glob(%s, %q)", []string{text, sets}[r.IntN(2)], []string{"*mail*", "a*", "*all", "?ail*", "*", "curl/8", "m*.r*d"}[r.IntN(7)])
	case 5:
		return fmt.Sprintf("matches(%s, %q)", []string{text, sets}[r.IntN(2)], []string{"^mail", "(read|send)$", "(?-i)Mail", "[xk]elvin", "a+", "(aa){2}", "py.*2", "x?", "mail.*d$", "(all|x)[^a-z]?k", "mail\\b", "(mail|send)+$"}[r.IntN(12)])
	case 6:
		return fmt.Sprintf("has_permission(%s, %q)", sets, []string{"mail.read", "Mail.*", "*", "kelvin"}[r.IntN(4)])
	case 7:
		return fmt.Sprintf("all_of(%s, %s)", sets, quoted(r))
	case 8, 9:
		return fmt.Sprintf("%s %s %d", num, op[r.IntN(6)], r.IntN(6))
	case 10:
		return fmt.Sprintf("%d %s %s", r.IntN(6), op[r.IntN(6)], num)
	case 11:
		return []string{"app.enabled", "backfill", "app.tenant_wide", "coalesce(app.enabled, true)", "app.enabled == false", "true", "false", "is_private_ip(source.ip)"}[r.IntN(8)]
	case 12:
		return fmt.Sprintf("in_list(%q, %s)", []string{"short", "expired"}[r.IntN(2)], []string{text, sets}[r.IntN(2)])
	case 13:
		return text + " == null"
	case 14:
		return "app.name == actor.id"
	case 15:
		return fmt.Sprintf("any_of(%s, %s) == %t", text, quoted(r), r.IntN(2) == 0)
	}
	return fmt.Sprintf("age(app.first_seen) > duration(\"%dd\")", r.IntN(4))
}

func generatedEnv(r *rand.Rand) *Env {
	now := time.Date(2026, 3, 3, 12, 0, 0, 0, time.UTC)
	e := &event.Event{Action: "app.consent.granted", Time: now, Backfill: r.IntN(2) == 0}
	e.App.Name, e.Actor.ID, e.Origin.UserAgent = word(r), word(r), word(r)
	e.Result = event.Result(word(r))
	e.Origin.ASN, e.Origin.IP = uint32(r.IntN(6)), []string{"", "10.0.0.1", "1.1.1.1"}[r.IntN(3)]
	e.Consent.Scopes = wordList(r)
	e.Changes = []event.Change{{Name: "Tags", Old: wordList(r), New: wordList(r)}}
	e.Details = []event.Detail{{Name: "key", Value: word(r)}}
	for range r.IntN(3) {
		e.Permissions = append(e.Permissions, event.Permission{Name: word(r), Kind: []string{"application", "delegated"}[r.IntN(2)], Removed: r.IntN(4) == 0})
	}
	env := &Env{Event: e, Now: now}
	if r.IntN(3) > 0 {
		env.App = &event.AppView{Name: word(r), Enabled: r.IntN(2) == 0, Tier: int8(r.IntN(5)), Users: r.IntN(6), ReplyURLs: wordList(r), FirstSeen: now.Add(-time.Duration(r.IntN(100)) * time.Hour)}
	}
	return env
}

func holding(rules []*Rule, env *Env) []string {
	var out []string
	for _, r := range rules {
		if r.Match(env) == True {
			out = append(out, r.ID)
		}
	}
	return out
}

// left is holding for candidates, of which only the rest is asked.
func left(candidates []*Rule, env *Env) []string {
	var out []string
	for _, r := range candidates {
		if r.Holds(env) {
			out = append(out, r.ID)
		}
	}
	return out
}

func TestTheIndexLeavesOutNoRuleThatHolds(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 2))
	found, asked, all := 0, 0, 0
	for range 30 {
		var b strings.Builder
		b.WriteString("list \"short\" {\n entries = [\"Mail\", \"KELVIN\", \"x\"]\n}\nlist \"expired\" {\n entry \"send\" {\n  until = \"2026-01-01\"\n }\n}\n")
		for i := range 150 {
			fmt.Fprintf(&b, "rule \"r%03d\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.consent.granted\"]\n where = %s\n}\n", i, strings.ReplaceAll(condition(r, r.IntN(4)), "\\u", "\\\\u"))
		}
		set := mustCompile(t, b.String())
		m := set.Matcher()
		for range 1000 {
			env := generatedEnv(r)
			candidates := m.Candidates(env)
			want, got := holding(set.Candidates(env.Event.Action), env), left(candidates, env)
			if !slices.Equal(want, got) {
				t.Fatalf("the index and what it leaves to ask give %v, all rules give %v of\n%s", got, want, b.String())
			}
			found, asked, all = found+len(want), asked+len(candidates), all+len(set.Rules)
		}
	}
	if found == 0 || asked*2 > all {
		t.Errorf("%d matches, %d candidates of %d: the test says little", found, asked, all)
	}
	t.Logf("%d matches, %d candidates of %d", found, asked, all)
}
