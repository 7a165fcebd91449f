package format

import (
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Link is one page about an alert.
type Link struct{ Name, URL string }

// Links are templates of pages.
type Links []page

// page is one template: its texts, and between them what of an alert stands there.
type page struct {
	name   string
	texts  []string
	values []func(*event.Alert) string
}

// MaxPage bounds a page, in bytes; maxValue what of a value gets into one, before escaping.
const (
	MaxPage  = 2 << 10
	maxValue = 256
)

// placeholder is a part of a template, and what of an alert stands there.
type placeholder struct {
	name  string
	value func(*event.Alert) string
}

func placeholders() []placeholder {
	return []placeholder{
		{"{tenant}", func(a *event.Alert) string { return a.Tenant }},
		{"{app_id}", func(a *event.Alert) string { return a.App.AppID }},
		{"{service_principal_id}", func(a *event.Alert) string { return a.App.ID }},
		{"{object_id}", func(a *event.Alert) string { return a.App.ObjectID }},
		{"{alert_id}", func(a *event.Alert) string { return a.ID.String() }},
		{"{delivery_id}", func(a *event.Alert) string { return a.DeliveryID.String() }},
		{"{rule_id}", func(a *event.Alert) string { return a.RuleID }},
	}
}

// Placeholders are what a template may hold.
func Placeholders() []string {
	var names []string
	for _, p := range placeholders() {
		names = append(names, p.name)
	}
	return names
}

// NewLinks reads templates by the names of their pages, in the order of these. They have
// been checked; what else stands in braces has no value.
func NewLinks(templates map[string]string) Links {
	var out Links
	for name, text := range templates {
		p := page{name: name}
		for {
			before, rest, open := strings.Cut(text, "{")
			inner, after, closed := strings.Cut(rest, "}")
			if !open || !closed {
				p.texts = append(p.texts, text)
				break
			}
			p.texts, p.values, text = append(p.texts, before), append(p.values, valueOf("{"+inner+"}")), after
		}
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b page) int { return strings.Compare(a.name, b.name) })
	return out
}

func valueOf(name string) func(*event.Alert) string {
	for _, p := range placeholders() {
		if p.name == name {
			return p.value
		}
	}
	return func(*event.Alert) string { return "" }
}

// Of are the pages of a. One whose template names what a does not have is left out,
// and one that would be longer than MaxPage. Values are escaped down to letters and digits,
// so that none leaves its place.
func (l Links) Of(a *event.Alert) []Link {
	if len(l) == 0 {
		return nil
	}
	out, room := make([]Link, 0, len(l)), [512]byte{}
pages:
	for _, p := range l {
		b := append(room[:0], p.texts[0]...)
		for i, value := range p.values {
			v := value(a)
			if v == "" {
				continue pages
			}
			b = append(escaped(b, v[:min(len(v), maxValue)]), p.texts[i+1]...)
		}
		if len(b) <= MaxPage {
			out = append(out, Link{p.name, string(b)})
		}
	}
	return out
}

// escaped appends s with everything but letters, digits and -._~ escaped.
func escaped(dst []byte, s string) []byte {
	const hex = "0123456789ABCDEF"
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' {
			dst = append(dst, c)
		} else {
			dst = append(dst, '%', hex[c>>4], hex[c&15])
		}
	}
	return dst
}

// mainPage is where to go on with a: the provider's own page of an alert that it raised,
// else the first of the configured ones. more are those that it leaves.
func mainPage(a *event.Alert, pages []Link) (first string, more []Link) {
	switch {
	case a.Upstream != nil && a.Upstream.URL != "":
		return a.Upstream.URL, pages
	case len(pages) > 0:
		return pages[0].URL, pages[1:]
	}
	return "", nil
}
