package post

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
)

// Fact is one line of what an alert says to a human.
type Fact struct{ Name, Value string }

// Facts are the lines of a, each value of at most max bytes; empty ones are left
// out.
func Facts(a *event.Alert, max int) []Fact {
	all := []Fact{
		{"App", named(a.App.Name, a.App.Key())},
		{"Actor", named(first(a.Actor.UPN, a.Actor.Name), first(a.Actor.ID, a.Actor.AppID))},
		{"Target", named(first(a.Target.UPN, a.Target.Name), a.Target.ID)},
		{"API", named(a.Resource.Name, first(a.Resource.AppID, a.Resource.ID))},
		{"Action", a.Action},
		{"Address", a.Origin.IP},
		{"Score", strconv.Itoa(a.Score)},
		{"Techniques", strings.Join(a.Techniques, ", ")},
		{"Rule", a.RuleID},
		{"Tenant", a.Tenant},
		{"Time", stamp(a.Time)},
		{"Matches", matches(a)},
		{"Group", group(a.Group)},
		{"Alerts", members(a.Group)},
		{"Reason", a.Reason},
		{"Detection source", event.DetectionSource},
		{"Alert", a.ID.String()},
		{"Delivery", a.DeliveryID.String()},
	}
	all = slices.DeleteFunc(all, func(f Fact) bool { return f.Value == "" })
	for i := range all {
		all[i].Value = Text(all[i].Value, max)
	}
	return slices.DeleteFunc(all, func(f Fact) bool { return f.Value == "" })
}

func named(name, id string) string {
	if name == "" || id == "" || name == id {
		return first(name, id)
	}
	return name + " (" + id + ")"
}

func first(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// matches is how often the rule of an alert matched; of a group Group says more.
func matches(a *event.Alert) string {
	if a.Count < 2 || a.Group != nil {
		return ""
	}
	return strconv.Itoa(a.Count)
}

func group(g *event.Group) string {
	if g == nil {
		return ""
	}
	return g.String()
}

// shownMembers is how many alerts of a group are named to a human.
const shownMembers = 5

// members names the gravest alerts of a group that has several.
func members(g *event.Group) string {
	if g == nil || g.Total < 2 {
		return ""
	}
	var titles []string
	for _, m := range g.Members[:min(len(g.Members), shownMembers)] {
		titles = append(titles, m.Title+" ("+m.Severity.String()+")")
	}
	return strings.Join(titles, "; ")
}

// Links are templates of pages, for people.
type Links struct{ pages format.Links }

// DefaultLinks are Microsoft's pages of an app.
func DefaultLinks() map[string]string {
	return map[string]string{
		"Entra admin centre": "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId/{service_principal_id}/appId/{app_id}",
		"Microsoft Defender": "https://security.microsoft.com/app?oauthAppId={app_id}",
	}
}

var (
	placeholder = regexp.MustCompile(`\{[^{}]*\}`)
	fixedHost   = regexp.MustCompile(`^https://[A-Za-z0-9.:\[\]-]+/[^{}]*`)
)

// maxLinks is how many links a sink may have, maxLink how long a template is in bytes,
// maxName its name.
const (
	maxLinks = 8
	maxLink  = 1 << 10
	maxName  = 256
)

// CheckLinks notes mistakes in the attribute links: what is before the first
// placeholder must hold scheme and host.
func CheckLinks(p *deliver.Problems, links map[string]string) {
	known := format.Placeholders()
	p.Must(len(links) <= maxLinks, "links", fmt.Sprintf("holds more than %d", maxLinks), "")
	for _, name := range slices.Sorted(maps.Keys(links)) {
		template := links[name]
		_, err := url.Parse(placeholder.ReplaceAllString(template, "x"))
		p.Must(err == nil && len(template) <= maxLink && fixedHost.MatchString(template), "links", fmt.Sprintf("%q is no template of a page", Text(name, maxName)), `write "https://host/path/{app_id}": the host is never a placeholder`)
		for _, wrote := range placeholder.FindAllString(template, -1) {
			p.Must(slices.Contains(known, wrote), "links", fmt.Sprintf("%q has the unknown placeholder %s", Text(name, maxName), wrote), "known are "+strings.Join(known, ", "))
		}
	}
}

// NewLinks are the links of a configuration, in the order of their names; nil
// are the default ones.
func NewLinks(links map[string]string) Links {
	if links == nil {
		links = DefaultLinks()
	}
	named := map[string]string{}
	for name, template := range links {
		named[Text(name, maxName)] = template
	}
	return Links{format.NewLinks(named)}
}

// Of are the pages of a, as format.Links has them. The provider's own page of an alert that
// it raised comes first.
func (l Links) Of(a *event.Alert) (out []format.Link) {
	if a.Upstream != nil && microsoft(a.Upstream.URL) {
		out = append(out, format.Link{Name: "Alert", URL: a.Upstream.URL})
	}
	return append(out, l.pages.Of(a)...)
}

// microsoft tells a page of Microsoft's without anything that markup could take
// for its own.
func microsoft(page string) bool {
	u, err := url.Parse(page)
	return err == nil && len(page) <= format.MaxPage && u.Scheme == "https" && u.User == nil && strings.HasSuffix(u.Hostname(), ".microsoft.com") &&
		!strings.ContainsFunc(page, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("<>|\"'`\\^{}()[]", r) })
}
