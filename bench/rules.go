package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// conjunct is one condition of a rule, before it is written in a language.
type conjunct struct {
	field string // as engines see it: "actor_id"; the product's is with a dot
	op    byte   // '=' equal, '!' not equal, 'i' one of, 'c' contains, 'r' regular expression, '>' greater
	args  []string
	num   int64
}

// benchRule is a rule, on one action or on all.
type benchRule struct {
	id, action string // no action = all of them
	conjuncts  []conjunct
}

var (
	actions    = []string{"user.signin", "app.consent.granted", "app.signin", "app.added"}
	activities = numbered("activity", 200)
	users      = numbered("user", 4000)
	apps       = numbered("app", 3000)
	names      = numbered("connector", 3000)
	countries  = []string{"nl", "de", "fr", "us", "gb", "pl", "es", "it", "se", "br", "in", "cn", "ru", "ng"}
	agents     = []string{
		"mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) chrome/131.0.0.0 safari/537.36",
		"mozilla/5.0 (macintosh; intel mac os x 10_15_7) applewebkit/605.1.15 (khtml, like gecko) version/18.1 safari/605.1.15",
		"mozilla/5.0 (x11; linux x86_64; rv:133.0) gecko/20100101 firefox/133.0", "python-requests/2.32.3", "curl/8.11.0",
		"azure-sdk-for-go/1.16 azidentity", "microsoft.identity.client/4.66", "okhttp/4.12.0", "axios/1.7.9",
	}
)

func numbered(word string, n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, word+"-"+strconv.Itoa(i*7919%100000))
	}
	return out
}

// action is a sign-in more often than not: 55, 25, 15 and 5 of 100.
func action(r *rand.Rand) string {
	n := r.IntN(100)
	for i, most := range []int{55, 80, 95} {
		if n < most {
			return actions[i]
		}
	}
	return actions[3]
}

func pick(r *rand.Rand, list []string) string { return list[r.IntN(len(list))] }

// guarded puts the rule's action first, as one more condition.
func (b benchRule) guarded() benchRule {
	if b.action != "" {
		b.conjuncts = append([]conjunct{{field: "action", op: '=', args: []string{b.action}}}, b.conjuncts...)
	}
	return b
}

// mixed makes n rules: 40 % action and activity, 20 % action and another equality,
// 20 % one of a set first, 10 % parts of texts, 10 % numbers. With texts, 60 % ask
// for parts of texts and the others share the rest.
func mixed(n int, texts bool) []benchRule {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]benchRule, 0, n)
	for i := range n {
		share := i % 10
		if texts {
			share = [...]int{0, 8, 8, 4, 8, 8, 6, 8, 8, 9}[share]
		}
		b := benchRule{id: fmt.Sprintf("r%05d", i)}
		if share < 6 {
			b.action = action(r)
		}
		switch {
		case share < 4:
			b.add(conjunct{field: "activity", op: '=', args: []string{pick(r, activities)}})
		case share < 6:
			b.add([]conjunct{{field: "actor_id", op: '=', args: []string{pick(r, users)}}, {field: "app_app_id", op: '=', args: []string{pick(r, apps)}}}[r.IntN(2)])
		case share < 8:
			b.add(conjunct{field: "app_app_id", op: 'i', args: several(r, apps)})
		case share < 9:
			b.add(textual(r))
		default:
			b.add(conjunct{field: "source_asn", op: '>', num: 60000 + int64(r.IntN(5000))})
		}
		for range 1 + r.IntN(2) {
			b.add([]conjunct{
				{field: "result", op: '=', args: []string{"failure"}}, {field: "source_country", op: '!', args: []string{pick(r, countries)}},
				{field: "source_country", op: 'i', args: several(r, countries)}, {field: "source_asn", op: '>', num: int64(r.IntN(60000))},
			}[r.IntN(4)])
		}
		out = append(out, b)
	}
	return out
}

func (b *benchRule) add(c conjunct) { b.conjuncts = append(b.conjuncts, c) }

func several(r *rand.Rand, list []string) []string {
	out := make([]string, 0, 8)
	for range 3 + r.IntN(5) {
		out = append(out, pick(r, list))
	}
	return out
}

func textual(r *rand.Rand) conjunct {
	field := []string{"source_user_agent", "app_name"}[r.IntN(2)]
	tool := fmt.Sprintf("%s%d", []string{"kit", "phish", "spray", "evil", "dump", "graphrunner", "roadtool"}[r.IntN(7)], r.IntN(400))
	if r.IntN(2) == 0 {
		return conjunct{field: field, op: 'c', args: []string{[]string{tool, pick(r, names)}[r.IntN(2)]}}
	}
	return conjunct{field: field, op: 'r', args: []string{[]string{tool + "/[0-9]+", "^" + tool, "(" + tool + "|x" + tool + ")[a-z]*$"}[r.IntN(3)]}}
}

// events makes n canonical events of about 2.7 KB each.
func events(n int) []event.Event {
	r := rand.New(rand.NewPCG(2, 3))
	out := make([]event.Event, 0, n)
	for i := range n {
		e := event.Event{ID: event.NewID("bench", strconv.Itoa(i)), Provider: "entra", Tenant: "t", Time: time.Unix(1780000000+int64(i), 0).UTC()}
		e.Action = action(r)
		e.Activity, e.Category, e.Result = pick(r, activities), "applicationmanagement", event.Result([]string{"success", "success", "success", "failure"}[r.IntN(4)])
		e.Actor = event.Actor{Type: "user", ID: pick(r, users), Name: "Example Person", UPN: "person@example.com"}
		e.App = event.App{ID: "sp", AppID: pick(r, apps), Name: pick(r, names)}
		e.Origin = event.Origin{IP: "203.0.113.9", ASN: uint32(r.IntN(65000)), Country: pick(r, countries), UserAgent: pick(r, agents)}
		for k := range 12 {
			e.Details = append(e.Details, event.Detail{Name: fmt.Sprint("detail", k), Value: strings.Repeat("v", 90)})
		}
		for range 4 {
			e.Permissions = append(e.Permissions, event.Permission{Kind: "delegated", Name: "mail.read", Resource: "graph"})
		}
		out = append(out, e)
	}
	return out
}

// text is a field of an event as the other engines see it.
func text(e *event.Event, field string) string {
	switch field {
	case "action":
		return e.Action
	case "activity":
		return e.Activity
	case "actor_id":
		return e.Actor.ID
	case "app_app_id":
		return e.App.AppID
	case "app_name":
		return e.App.Name
	case "result":
		return string(e.Result)
	case "source_country":
		return e.Origin.Country
	case "source_user_agent":
		return e.Origin.UserAgent
	}
	panic("no field " + field)
}

var textFields = []string{"action", "activity", "actor_id", "app_app_id", "app_name", "result", "source_country", "source_user_agent"}

// write joins the conjuncts of a rule in one language: form has a format for each
// operator, with the field first and then the constants.
func (b benchRule) write(form map[byte]string, and, open, closing string, named func(string) string) string {
	parts := make([]string, 0, len(b.conjuncts))
	for _, c := range b.conjuncts {
		quoted := make([]string, 0, len(c.args))
		for _, a := range c.args {
			quoted = append(quoted, strconv.Quote(a))
		}
		constant := strings.Join(quoted, ", ")
		switch c.op {
		case 'i':
			constant = open + constant + closing
		case '>':
			constant = strconv.FormatInt(c.num, 10)
		}
		parts = append(parts, fmt.Sprintf(form[c.op], named(c.field), constant))
	}
	return strings.Join(parts, and)
}
