package inventory

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/appgovd/appgovd/internal/event"
)

// How much of a day is told apart. What comes when there is no room takes the place
// of the least, unless it is less itself; what gives way is counted with the rest, so
// that sums are exact whatever is told apart.
const (
	maxEndpoints = 16 // of an app, beside one rest for each workload
	maxPlaces    = 8  // resources, and countries, beside the rest
)

// Names of usage that stand for others.
const (
	noName   sym = 0 // the record does not say
	restName sym = 1 // those that are not told apart
)

// figures are what is counted of calls.
type figures struct {
	calls, errors, sized uint64
	bytes                int64
}

func (f *figures) add(g figures) {
	f.calls, f.errors, f.sized, f.bytes = f.calls+g.calls, f.errors+g.errors, f.sized+g.sized, f.bytes+g.bytes
}

// endpoint is what was called: a workload (its place in event.Workloads) and a shape of
// a path.
type endpoint struct {
	workload uint8
	name     sym
	figures
}

func (e endpoint) compare(o endpoint) int {
	return cmp.Or(cmp.Compare(e.workload, o.workload), cmp.Compare(e.name, o.name))
}

// place counts sign-ins to one resource, or from one country.
type place struct {
	name            sym
	count, failures uint64
}

// report is what a source says of the calls of a whole day at once.
type report struct {
	known        bool
	calls        uint64
	errors       uint64
	bytes, users int64 // -1 = unknown
	services     []sym
}

// day is what is known of the use of one app on one day, UTC. Lists are sorted.
type day struct {
	number    int32 // since 1970
	endpoints []endpoint
	users     event.Distinct
	report    report
	kinds     [signInKinds]uint64 // by kind and result
	resources []place
	countries []place
}

// The kinds of sign-ins, in the order of SignInKinds and one for others, each with
// three results.
const signInKinds = 5 * 3

func (d *day) clear() {
	*d = day{endpoints: d.endpoints[:0], resources: d.resources[:0], countries: d.countries[:0], users: event.Distinct{Few: d.users.Few[:0]}, report: report{services: d.report.services[:0]}}
}

// total sums up the calls.
func (d *day) total() (f figures) {
	for i := range d.endpoints {
		f.add(d.endpoints[i].figures)
	}
	return f
}

// call takes in calls to an endpoint.
func (d *day) call(x endpoint) {
	i, found := slices.BinarySearchFunc(d.endpoints, x, endpoint.compare)
	if found {
		d.endpoints[i].add(x.figures)
		return
	}
	if x.name != restName {
		named, least := 0, -1
		for k := range d.endpoints {
			if e := &d.endpoints[k]; e.name != restName {
				if named++; least < 0 || e.calls < d.endpoints[least].calls {
					least = k
				}
			}
		}
		if named >= maxEndpoints {
			gives := d.endpoints[least]
			if gives.calls <= x.calls {
				d.endpoints = slices.Delete(d.endpoints, least, least+1)
				d.call(endpoint{gives.workload, restName, gives.figures})
				d.call(x)
				return
			}
			x.name = restName
			d.call(x)
			return
		}
	}
	d.endpoints = slices.Insert(d.endpoints, i, x)
}

// visit takes in sign-ins to or from a place.
func visit(list []place, x place) []place {
	i, found := slices.BinarySearchFunc(list, x, func(a, b place) int { return cmp.Compare(a.name, b.name) })
	if found {
		list[i].count, list[i].failures = list[i].count+x.count, list[i].failures+x.failures
		return list
	}
	if x.name != restName {
		named, least := 0, -1
		for k := range list {
			if list[k].name != restName {
				if named++; least < 0 || list[k].count < list[least].count {
					least = k
				}
			}
		}
		if named >= maxPlaces {
			gives := x
			if list[least].count <= x.count {
				gives = list[least]
				list = visit(slices.Delete(list, least, least+1), x)
			}
			gives.name = restName
			return visit(list, gives)
		}
	}
	return slices.Insert(list, i, x)
}

// merge takes in what another part of the same day holds.
func (d *day) merge(o *day) {
	for _, e := range o.endpoints {
		d.call(e)
	}
	d.users.Merge(&o.users)
	if o.report.known {
		d.report = o.report
		d.report.services = slices.Clone(o.report.services)
	}
	for i, n := range o.kinds {
		d.kinds[i] += n
	}
	for _, p := range o.resources {
		d.resources = visit(d.resources, p)
	}
	for _, p := range o.countries {
		d.countries = visit(d.countries, p)
	}
}

// append writes d: its number and length, then the numbers below, all uvarints but the
// hashes and registers.
func (d *day) append(dst []byte) []byte {
	body := make([]byte, 0, 128)
	body = binary.AppendUvarint(body, uint64(len(d.endpoints)))
	for _, e := range d.endpoints {
		body = append(body, e.workload)
		for _, n := range [...]uint64{uint64(e.name), e.calls, e.errors, e.sized, uint64(e.bytes)} {
			body = binary.AppendUvarint(body, n)
		}
	}
	body = appendDistinct(body, &d.users)
	body = appendReport(body, &d.report)
	kinds := 0
	for _, n := range d.kinds {
		if n > 0 {
			kinds++
		}
	}
	body = binary.AppendUvarint(body, uint64(kinds))
	for i, n := range d.kinds {
		if n > 0 {
			body = binary.AppendUvarint(append(body, byte(i)), n)
		}
	}
	for _, list := range [...][]place{d.resources, d.countries} {
		body = binary.AppendUvarint(body, uint64(len(list)))
		for _, p := range list {
			for _, n := range [...]uint64{uint64(p.name), p.count, p.failures} {
				body = binary.AppendUvarint(body, n)
			}
		}
	}
	dst = binary.AppendUvarint(dst, uint64(d.number))
	dst = binary.AppendUvarint(dst, uint64(len(body)))
	return append(dst, body...)
}

// sketched stands before the registers of a sketch, where the number of hashes is.
const sketched = 255

func appendDistinct(b []byte, d *event.Distinct) []byte {
	if d.Registers != nil {
		return append(append(b, sketched), d.Registers[:]...)
	}
	b = append(b, byte(len(d.Few)))
	for _, h := range d.Few {
		b = binary.LittleEndian.AppendUint64(b, h)
	}
	return b
}

func appendReport(b []byte, r *report) []byte {
	if !r.known {
		return append(b, 0)
	}
	b = append(b, 1)
	for _, n := range [...]uint64{r.calls, r.errors, uint64(r.bytes + 1), uint64(r.users + 1), uint64(len(r.services))} {
		b = binary.AppendUvarint(b, n)
	}
	for _, s := range r.services {
		b = binary.AppendUvarint(b, uint64(s))
	}
	return b
}

// packedDay is a day as it is kept.
type packedDay struct {
	number int32
	whole  []byte // with its number and length
	body   []byte
}

// nextDay takes the first day off a list of packed ones.
func nextDay(b []byte) (d packedDay, rest []byte, err error) {
	number, n := binary.Uvarint(b)
	if n <= 0 || number > maxDay {
		return d, nil, errors.New("parse usage: a day without a number")
	}
	size, k := binary.Uvarint(b[n:])
	if k <= 0 || size > uint64(len(b)-n-k) {
		return d, nil, errors.New("parse usage: a day is cut off")
	}
	end := n + k + int(size)
	return packedDay{int32(number), b[:end], b[n+k : end]}, b[end:], nil
}

// maxDay is beyond any time that an event can have.
const maxDay = 100_000

// unpack fills d, whose lists are used again.
func (d *day) unpack(p packedDay) error {
	d.clear()
	d.number = p.number
	r := numbers{in: p.body}
	for range r.length(maxEndpoints + len(event.Workloads())) {
		e := endpoint{workload: r.byte(), name: sym(r.uint())}
		e.calls, e.errors, e.sized, e.bytes = r.uint(), r.uint(), r.uint(), int64(r.uint())
		d.endpoints = append(d.endpoints, e)
	}
	r.distinct(&d.users)
	r.report(&d.report)
	for range r.length(signInKinds) {
		if k := r.byte(); int(k) < signInKinds {
			d.kinds[k] = r.uint()
		} else {
			r.fail("a kind of sign-in")
		}
	}
	for _, list := range [...]*[]place{&d.resources, &d.countries} {
		for range r.length(maxPlaces + 1) {
			*list = append(*list, place{sym(r.uint()), r.uint(), r.uint()})
		}
	}
	if len(r.in) > 0 {
		r.fail("what is behind the end")
	}
	if r.err != nil {
		return fmt.Errorf("parse usage of day %d: %w", p.number, r.err)
	}
	return nil
}

// numbers reads what append wrote, and keeps the first error.
type numbers struct {
	in  []byte
	err error
}

func (r *numbers) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%s makes no sense", what)
	}
	r.in = nil
}

func (r *numbers) byte() byte {
	if len(r.in) == 0 {
		r.fail("its end")
		return 0
	}
	b := r.in[0]
	r.in = r.in[1:]
	return b
}

func (r *numbers) uint() uint64 {
	v, n := binary.Uvarint(r.in)
	if n <= 0 {
		r.fail("a number")
		return 0
	}
	r.in = r.in[n:]
	return v
}

func (r *numbers) length(most int) int {
	n := r.uint()
	if n > uint64(most) {
		r.fail("a length")
		return 0
	}
	return int(n)
}

func (r *numbers) distinct(d *event.Distinct) {
	switch n := int(r.byte()); {
	case n == sketched && len(r.in) >= len(d.Registers):
		d.Registers = new([256]uint8)
		copy(d.Registers[:], r.in)
		r.in, d.Few = r.in[len(d.Registers):], nil
	case n == sketched || 8*n > len(r.in):
		r.fail("the users")
	default:
		for i := range n {
			d.Few = append(d.Few, binary.LittleEndian.Uint64(r.in[8*i:]))
		}
		r.in = r.in[8*n:]
		if !slices.IsSorted(d.Few) {
			r.fail("the order of users")
		}
	}
}

func (r *numbers) report(p *report) {
	if r.byte() == 0 {
		return
	}
	p.known = true
	p.calls, p.errors, p.bytes, p.users = r.uint(), r.uint(), int64(r.uint())-1, int64(r.uint())-1
	for range r.length(maxServices) {
		p.services = append(p.services, sym(r.uint()))
	}
}

// maxServices bounds the workloads that a report names.
const maxServices = 50
