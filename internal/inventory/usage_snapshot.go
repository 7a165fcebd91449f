package inventory

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/appgovd/appgovd/internal/event"
)

// Records of a snapshot that hold usage: what all apps share, then the apps by key.
const (
	recordUse    = 'y' // usageMeta as JSON
	recordAppUse = 'u' // fields 1-3 below
)

// Fields of the usage of an app.
const (
	fieldUseKey  = 1
	fieldUsePast = 2 // packed days, ascending
	fieldUseLast = 3 // the newest packed day
)

// usageMeta is all of usage but the apps.
type usageMeta struct {
	Today   int32
	Calls   map[string]*reach `json:",omitempty"`
	SignIns map[string]*reach `json:",omitempty"`
	Reports []int32           `json:",omitempty"`
	Shed    []int32           `json:",omitempty"`
	Told    map[string]int32  `json:",omitempty"`
	Lost    uint64            `json:",omitempty"`
	Names   []string          // the first two are reserved
}

// frozenUse is the usage of one app at one moment; the bytes are never changed.
type frozenUse struct {
	key        string
	past, last []byte
}

func (u *usage) freeze() (usageMeta, []frozenUse) {
	meta := usageMeta{Today: u.today, Calls: copied(u.calls), SignIns: copied(u.signIns), Told: maps.Clone(u.told), Lost: u.lost, Names: slices.Clip(u.names.text)}
	meta.Reports, meta.Shed = slices.Sorted(maps.Keys(u.reports)), slices.Sorted(maps.Keys(u.shed))
	apps := make([]frozenUse, 0, len(u.apps))
	for k, a := range u.apps {
		apps = append(apps, frozenUse{k, a.past, a.last})
	}
	return meta, apps
}

func copied(all map[string]*reach) map[string]*reach {
	out := make(map[string]*reach, len(all))
	for k, r := range all {
		c := *r
		c.Gaps = slices.Clone(r.Gaps)
		out[k] = &c
	}
	return out
}

func (s *recorder) usage(meta usageMeta, apps []frozenUse) {
	s.json(recordUse, meta)
	slices.SortFunc(apps, func(a, b frozenUse) int { return strings.Compare(a.key, b.key) })
	for _, a := range apps {
		b := protowire.AppendString(protowire.AppendTag(s.payload[:0], fieldUseKey, protowire.BytesType), a.key)
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldUsePast, protowire.BytesType), a.past)
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldUseLast, protowire.BytesType), a.last)
		s.payload = b
		s.record(recordAppUse, b)
	}
}

func (m *Model) restoreUse(payload []byte) error {
	var x usageMeta
	if err := json.Unmarshal(payload, &x); err != nil {
		return fmt.Errorf("parse usage: %w", err)
	}
	u := &m.uses
	if len(x.Names) < 2 || len(x.Names) > maxUsageNames || x.Names[0] != "" || x.Names[1] != u.names.string(restName) || len(u.names.text) != 2 || x.Today < 0 || x.Today > maxDay {
		return fmt.Errorf("parse usage: the names or the day make no sense, or come twice")
	}
	for i, name := range x.Names[2:] {
		if u.names.intern(name) != sym(i+2) {
			return fmt.Errorf("parse usage: the name %q comes twice", name)
		}
	}
	for into, all := range map[*map[string]*reach]map[string]*reach{&u.calls: x.Calls, &u.signIns: x.SignIns} {
		for k, r := range all {
			if r == nil {
				return fmt.Errorf("parse usage: an empty source %q", k)
			}
			(*into)[k] = r
		}
	}
	for k, day := range x.Told {
		u.told[k] = day
	}
	for _, day := range x.Reports {
		u.reports[day] = true
	}
	for _, day := range x.Shed {
		u.shed[day] = true
	}
	u.today, u.lost = x.Today, x.Lost
	return nil
}

func (m *Model) restoreAppUse(payload []byte) error {
	a := &appUsage{}
	key := ""
	for len(payload) > 0 {
		number, typ, n := protowire.ConsumeTag(payload)
		if n < 0 || typ != protowire.BytesType {
			return fmt.Errorf("parse usage: a field makes no sense")
		}
		b, size := protowire.ConsumeBytes(payload[n:])
		if size < 0 {
			return fmt.Errorf("parse usage: %w", protowire.ParseError(size))
		}
		switch number {
		case fieldUseKey:
			key = string(b)
		case fieldUsePast:
			a.past = slices.Clone(b)
		case fieldUseLast:
			a.last = slices.Clone(b)
		}
		payload = payload[n+size:]
	}
	if key == "" || m.uses.apps[key] != nil {
		return fmt.Errorf("parse usage: an app %q without a key, or twice", key)
	}
	if err := m.uses.sound(a); err != nil {
		return fmt.Errorf("%w of app %q", err, key)
	}
	m.uses.apps[key] = a
	return nil
}

// sound checks packed days and sets the number of the last one.
func (u *usage) sound(a *appUsage) error {
	var d day
	before := int32(-1)
	for i, part := range [...][]byte{a.past, a.last} {
		for rest := part; len(rest) > 0; {
			p, next, err := nextDay(rest)
			if err != nil {
				return err
			}
			if err := d.unpack(p); err != nil {
				return err
			}
			if p.number <= before || !u.names.hold(&d) || i == 1 && len(next) > 0 {
				return fmt.Errorf("parse usage: day %d makes no sense", p.number)
			}
			before, rest = p.number, next
		}
	}
	if len(a.last) == 0 {
		return fmt.Errorf("parse usage: no last day")
	}
	a.day = before
	return nil
}

// hold reports whether all names of a day are there.
func (t *symbols) hold(d *day) bool {
	ok := func(s sym) bool { return int(s) < len(t.text) }
	for _, e := range d.endpoints {
		if !ok(e.name) || int(e.workload) >= len(event.Workloads()) {
			return false
		}
	}
	for _, p := range slices.Concat(d.resources, d.countries) {
		if !ok(p.name) {
			return false
		}
	}
	return !slices.ContainsFunc(d.report.services, func(s sym) bool { return !ok(s) })
}
