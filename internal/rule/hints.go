package rule

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
)

// hints collects what is no mistake for certain while rules are compiled: names that are
// like a known one, values that a field never has.
type hints struct {
	values     map[string][]string // of a field, all that it takes
	properties []string
	now        time.Time
	list       hcl.Diagnostics
}

func newHints(now time.Time) *hints {
	return &hints{values: event.Vocabulary(), properties: event.Properties(), now: now}
}

// ends looks at an exception whose end stands at r.
func (h *hints) ends(e *Exception, r hcl.Range) {
	if h != nil && e.Expired(h.now) {
		h.add(r, "expired_exception", "Exception has ended", "The exception %q spares nothing any more: renew it or delete it.", e.ID)
	}
}

func (h *hints) add(r hcl.Range, code, summary, detail string, args ...any) {
	h.list = append(h.list, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(detail, args...), Subject: r.Ptr(), Extra: diag.Code(code),
	})
}

// compared looks at the constants that a field is compared with.
func (h *hints) compared(field node, r hcl.Range, values ...string) {
	if h == nil || h.values[field.ident] == nil {
		return
	}
	known := h.values[field.ident]
	for _, v := range values {
		if !containsFold(known, v) {
			h.add(r, "unknown_value", "Never has this value", "%s is never %q; it is one of %s.%s", field.ident, v, strings.Join(known, ", "), suggest(v, known))
		}
	}
}

// property looks at the name of a modified property. There are more than are known, so
// that only what is like a known one is told.
func (h *hints) property(r hcl.Range, names []string) {
	if h == nil {
		return
	}
	for _, n := range names {
		if k := mistyped(n, h.properties); k != "" {
			h.add(r, "unknown_property", "Unknown property", "No provider is known to write a property %q. Did you mean %q?", n, k)
		}
	}
}

// permission looks at a permission that is no pattern, against those that have a tier.
func (h *hints) permission(t *tierTable, r hcl.Range, name string) {
	if h == nil || strings.ContainsAny(name, "*?") {
		return
	}
	w := splitKind(name)
	var known []string
	for ; t != nil; t = t.own {
		for key := range t.exact {
			known = append(known, key[strings.LastIndexByte(key, 0)+1:])
		}
	}
	slices.Sort(known) // the order of a map is none
	if k := mistyped(w.glob, known); k != "" {
		h.add(r, "unknown_permission", "Unknown permission", "permission_tiers.csv grades no permission %q, but %q.", w.glob, k)
	}
}

// mistyped is the known name that a name is within two edits of; "" where it is known
// itself, or like none. Of several the nearest, then the first in order.
func mistyped(name string, known []string) string {
	if containsFold(known, name) {
		return ""
	}
	best, limit := "", 3
	for _, k := range known {
		if d := distance([]rune(foldString(name)), []rune(foldString(k)), limit); d < limit {
			best, limit = k, d
		}
	}
	return best
}
