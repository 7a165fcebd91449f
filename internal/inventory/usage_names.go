package inventory

import (
	"cmp"
	"maps"
	"slices"
)

// rename gives back the names that no day uses any more: those that are used get new
// numbers, by app and day. What is packed is written anew, as a frozen state may share
// it. It takes some seconds where there are millions of days, and is called at most once
// a day, and only where names run short.
func (u *usage) rename() {
	old := u.names
	u.names = newSymbols()
	u.names.intern(old.string(restName))
	again := func(s sym) sym { return u.names.intern(old.string(s)) }
	for _, key := range slices.Sorted(maps.Keys(u.apps)) {
		a := u.apps[key]
		var past, last []byte
		a.days(&u.room, func(d *day) {
			d.rename(again)
			if d.number == a.day {
				last = d.append(nil)
			} else {
				past = d.append(past)
			}
		})
		a.past, a.last = slices.Clip(past), last
	}
	for _, key := range u.order {
		u.pending[key].rename(again)
	}
}

// rename gives every name of a day its new number, and puts the lists in their order.
func (d *day) rename(again func(sym) sym) {
	for i := range d.endpoints {
		d.endpoints[i].name = again(d.endpoints[i].name)
	}
	slices.SortFunc(d.endpoints, endpoint.compare)
	for i, s := range d.report.services {
		d.report.services[i] = again(s)
	}
	for _, list := range [...][]place{d.resources, d.countries} {
		for i := range list {
			list[i].name = again(list[i].name)
		}
		slices.SortFunc(list, func(a, b place) int { return cmp.Compare(a.name, b.name) })
	}
}
