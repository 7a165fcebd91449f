package inventory

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// held is what grants come to, spelled out. Apps that were granted the same share one;
// it is read only.
type held struct {
	delegated, application []event.Permission
	tier                   int8 // the worst, 0 = unknown
}

// sum is what the grants of one app come to. It holds until one of them changes, or
// the names and grades of permissions do.
type sum struct {
	held  *held
	round uint32 // of Model.spelling
	users int32
	wide  bool
}

// spelling are the grants of apps, spelled out, by what was granted.
type spelling struct {
	all   map[string]*held
	round uint32 // 0 = none is good
	asked []spelled
	users []sym
	key   []byte
}

// spelled is one thing that was granted.
type spelled struct {
	scopes, role, resource sym
	delegated              bool
}

func (s spelled) compare(o spelled) int {
	return cmp.Or(cmp.Compare(b2i(s.delegated), b2i(o.delegated)), cmp.Compare(s.resource, o.resource), cmp.Compare(s.scopes, o.scopes), cmp.Compare(s.role, o.role))
}

// maxSpelled bounds what is kept spelled out. Apps beyond are spelled out anew each time.
const maxSpelled = 1 << 14

// respell forgets what is spelled out: names or grades differ.
func (m *Model) respell() {
	m.spelling.all = map[string]*held{}
	m.spelling.round++
}

// sumOf is what the grants of an app come to.
func (m *Model) sumOf(a *app) sum {
	if a.sum.held == nil || a.sum.round != m.spelling.round {
		var kept bool
		if a.sum, kept = m.add(a.principal.id); !kept {
			s := a.sum
			a.sum = sum{}
			return s
		}
	}
	return a.sum
}

// add sums up the grants of a principal; kept tells whether others share it.
func (m *Model) add(principal string) (out sum, kept bool) {
	s := &m.spelling
	s.asked, s.users, s.key = s.asked[:0], s.users[:0], s.key[:0]
	if client, ok := m.names.find(principal); ok {
		for _, i := range m.grants.byClient[client] {
			g := &m.grants.pages[i/grantPage].slots[i%grantPage].packed
			out.wide = out.wide || g.delegated && g.all
			if g.delegated && g.principal != 0 {
				s.users = append(s.users, g.principal)
			}
			s.asked = append(s.asked, spelled{g.scopes, g.role, g.resource, g.delegated})
		}
	}
	slices.Sort(s.users)
	out.users, out.round = int32(len(slices.Compact(s.users))), s.round
	slices.SortFunc(s.asked, spelled.compare)
	s.asked = slices.Compact(s.asked)
	for _, x := range s.asked {
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(x.scopes))
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(x.role))
		s.key = binary.LittleEndian.AppendUint32(s.key, uint32(x.resource))
		s.key = append(s.key, byte(b2i(x.delegated)))
	}
	if out.held = s.all[string(s.key)]; out.held != nil {
		return out, true
	}
	out.held = m.spell(s.asked)
	if len(s.all) < maxSpelled {
		s.all[string(s.key)] = out.held
		return out, true
	}
	return out, false
}

// spell spells out grants, each permission once.
func (m *Model) spell(asked []spelled) *held {
	h := &held{}
	for _, x := range asked {
		g := grant{packed: packed{scopes: x.scopes, role: x.role, resource: x.resource, delegated: x.delegated}}
		if x.delegated {
			h.delegated = append(h.delegated, m.permissions(&g)...)
		} else {
			h.application = append(h.application, m.permissions(&g)...)
		}
	}
	h.delegated, h.application = distinct(h.delegated), distinct(h.application)
	for _, p := range slices.Concat(h.delegated, h.application) {
		if p.Tier > 0 && (h.tier == 0 || p.Tier < h.tier) {
			h.tier = p.Tier
		}
	}
	return h
}

func distinct(list []event.Permission) []event.Permission {
	slices.SortFunc(list, func(a, b event.Permission) int {
		return cmp.Or(strings.Compare(a.API, b.API), strings.Compare(a.Name, b.Name),
			strings.Compare(a.ID, b.ID), strings.Compare(a.Resource, b.Resource))
	})
	return slices.Clip(slices.Compact(list))
}
