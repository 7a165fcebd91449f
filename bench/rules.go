package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// conjunct is one condition of a rule, before it is written in a language.
type conjunct struct {
	field string // "actor.id"
	op    byte   // '=' equal, '!' not equal, 'i' one of, 'c' contains, 'r' regular expression, '>' greater
	args  []string
	num   int64
}

// benchRule is a rule, on one action or on all.
type benchRule struct {
	id, action string // no action = all of them
	conjuncts  []conjunct
	block      string // of the product's language alone
}

var (
	actions    = []string{"user.signin", "app.consent.granted", "app.signin", "app.added"}
	activities = numbered("activity", 1000)
	users      = numbered("user", 4000)
	apps       = numbered("app", 3000)
	countries  = []string{"nl", "de", "fr", "us", "gb", "pl", "es", "it", "se", "br", "in", "cn", "ru", "ng"}
	words      = syllables(50)
	hosts      = syllables(60)
	builds     = numbered("", 40)
	tools      = []string{
		"python-requests", "curl", "azure-sdk-for-go", "microsoft.identity.client", "okhttp", "axios", "go-http-client", "postmanruntime", "powershell", "wget", "aiohttp", "java-http-client",
		"node-fetch", "restsharp", "apache-httpclient", "libwww-perl", "insomnia", "winhttp", "msal.js", "terraform",
	}
)

func numbered(word string, n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, word+"-"+strconv.Itoa(i*7919%100000))
	}
	return out
}

// syllables makes n words, none of them a part of another one.
func syllables(n int) []string {
	out := make([]string, 0, n)
	for i := range n {
		out = append(out, string([]byte{"bdfgklmnprstvz"[i%14], "aeiou"[i%5], "bdgklmnprtvz"[i*7%12], "aeiou"[i/5%5], "klmnrstx"[i*3%8], "aeiou"[i/25], 'q'}))
	}
	return out
}

// userAgent is a browser of one of some hundred builds, or a tool of any version;
// one in seven is of its own.
func userAgent(r *rand.Rand) string {
	version := fmt.Sprintf("%d.%d", 1+r.IntN(3), r.IntN(12))
	if r.IntN(7) == 0 {
		version += "." + strconv.Itoa(r.IntN(100000))
	}
	switch r.IntN(3) {
	case 0:
		return pick(r, tools) + "/" + version
	case 1:
		return "mozilla/5.0 (windows nt 10.0; win64; x64) applewebkit/537.36 (khtml, like gecko) chrome/131.0" + pick(r, builds) + " safari/" + version
	}
	return "mozilla/5.0 (macintosh; intel mac os x 10_15_7) applewebkit/605.1.15 (khtml, like gecko) version/18.1 safari/605" + pick(r, builds) + "/" + version
}

func appName(r *rand.Rand) string {
	return pick(r, words) + " " + pick(r, words) + " " + strconv.Itoa(r.IntN(100))
}

func address(r *rand.Rand) string {
	return "https://" + pick(r, hosts) + ".example/" + pick(r, words) + "/callback?state=" + strconv.Itoa(r.IntN(1000000))
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

// number is an autonomous system, one of 500 times a rare one.
func number(r *rand.Rand) int {
	if r.IntN(500) == 0 {
		return 60000 + r.IntN(5000)
	}
	return r.IntN(60000)
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
// for parts of texts that one in a hundred to one in twenty events has, and the
// others share the rest.
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
			b.add([]conjunct{{field: "actor.id", op: '=', args: []string{pick(r, users)}}, {field: "app.app_id", op: '=', args: []string{pick(r, apps)}}}[r.IntN(2)])
		case share < 8:
			b.add(conjunct{field: "app.app_id", op: 'i', args: several(r, apps)})
		case share < 9 && texts:
			b.add(common(r))
		case share < 9:
			b.add(textual(r))
		default:
			b.add(conjunct{field: "source.asn", op: '>', num: 60000 + int64(r.IntN(5000))})
		}
		for range 1 + r.IntN(2) {
			b.add([]conjunct{
				{field: "result", op: '=', args: []string{"failure"}}, {field: "source.country", op: '!', args: []string{pick(r, countries)}},
				{field: "source.country", op: 'i', args: several(r, countries)}, {field: "source.asn", op: '>', num: int64(r.IntN(60000))},
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

// textual asks for the names of tools that are rarely met.
func textual(r *rand.Rand) conjunct {
	tool := fmt.Sprintf("%s%d", []string{"kit", "phish", "spray", "evil", "dump", "graphrunner", "roadtool"}[r.IntN(7)], r.IntN(400))
	return part([]string{"source.user_agent", "app.name"}[r.IntN(2)], tool, tool, r)
}

// common asks for what user agents, names and addresses of the events hold.
func common(r *rand.Rand) conjunct {
	switch r.IntN(3) {
	case 0:
		list := [][]string{tools, builds}[r.IntN(2)]
		return part("source.user_agent", pick(r, list), pick(r, list), r)
	case 1:
		return part("app.name", pick(r, words), pick(r, words), r)
	}
	return part("target.name", pick(r, hosts), pick(r, hosts), r)
}

func part(field, a, b string, r *rand.Rand) conjunct {
	if r.IntN(2) == 0 {
		return conjunct{field: field, op: 'c', args: []string{a}}
	}
	return conjunct{field: field, op: 'r', args: []string{[]string{a + "[ /.]+[a-z0-9]+", a + ".*[0-9]$", "(" + a + "|" + b + "x)[^a-z]"}[r.IntN(3)]}}
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
		e.App = event.App{ID: "sp", AppID: pick(r, apps), Name: appName(r)}
		e.Target = event.Entity{Type: "other", ID: "t", Name: address(r)}
		e.Origin = event.Origin{IP: "203.0.113.9", ASN: uint32(number(r)), Country: pick(r, countries), UserAgent: userAgent(r)}
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
	case "actor.id":
		return e.Actor.ID
	case "app.app_id":
		return e.App.AppID
	case "app.name":
		return e.App.Name
	case "result":
		return string(e.Result)
	case "source.country":
		return e.Origin.Country
	case "source.user_agent":
		return e.Origin.UserAgent
	case "target.name":
		return e.Target.Name
	}
	panic("no field " + field)
}

var textFields = []string{"action", "activity", "actor.id", "app.app_id", "app.name", "result", "source.country", "source.user_agent", "target.name"}

// nested is an event as users of the other engines have it: decoded from JSON into
// maps.
func nested(e *event.Event) map[string]any {
	type m = map[string]any
	var details, permissions []m
	for _, d := range e.Details {
		details = append(details, m{"name": d.Name, "value": d.Value})
	}
	for _, p := range e.Permissions {
		permissions = append(permissions, m{"kind": p.Kind, "name": p.Name, "resource": p.Resource})
	}
	text, err := json.Marshal(m{
		"id": e.ID, "provider": e.Provider, "tenant": e.Tenant, "time": e.Time, "action": e.Action, "activity": e.Activity, "category": e.Category, "result": e.Result,
		"actor": m{"type": e.Actor.Type, "id": e.Actor.ID, "name": e.Actor.Name, "upn": e.Actor.UPN}, "app": m{"id": e.App.ID, "app_id": e.App.AppID, "name": e.App.Name},
		"target": m{"type": e.Target.Type, "id": e.Target.ID, "name": e.Target.Name}, "details": details, "permissions": permissions,
		"source": m{"ip": e.Origin.IP, "asn": e.Origin.ASN, "country": e.Origin.Country, "user_agent": e.Origin.UserAgent},
	})
	out := m{}
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		panic(err)
	}
	return out
}

// flat is an event as a map of one level with typed values, which suits CEL and
// expr better.
func flat(e *event.Event) map[string]any {
	out := map[string]any{"source_asn": int64(e.Origin.ASN)}
	for _, f := range textFields {
		out[underscored(f)] = text(e, f)
	}
	return out
}

func underscored(field string) string { return strings.ReplaceAll(field, ".", "_") }

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
