package inventory

import "github.com/appgovd/appgovd/internal/event"

// sums are what rules see of a day: a part of it that is found without unpacking all.
type sums struct {
	number            int32
	called            bool // there is an endpoint
	total             figures
	users             int64
	report            report
	signIns, failures int64
}

// sums are those of a day that is unpacked.
func (d *day) sums() *sums {
	s := &sums{number: d.number, called: len(d.endpoints) > 0, total: d.total(), report: d.report}
	s.users, _ = d.users.Count()
	for k, n := range d.kinds {
		s.signIn(k, n)
	}
	return s
}

func (s *sums) signIn(kind int, n uint64) {
	s.signIns += int64(n)
	if kind%3 == 2 {
		s.failures += int64(n)
	}
}

// maxWorkloads is more than there are.
const maxWorkloads = 64

// skim reads what day.append wrote, up to the sign-ins by kind. What is in memory was
// written here, or checked when it was restored.
func (s *sums) skim(p packedDay) {
	s.number = p.number
	r := numbers{in: p.body}
	n := r.length(maxEndpoints + maxWorkloads)
	s.called = n > 0
	for range n {
		r.byte()
		r.uint() // its name
		s.total.add(figures{r.uint(), r.uint(), r.uint(), int64(r.uint())})
	}
	s.users = r.count()
	r.report(&s.report)
	for range r.length(signInKinds) {
		s.signIn(int(r.byte()), r.uint())
	}
}

// count is how many users numbers.distinct would read.
func (r *numbers) count() int64 {
	var d event.Distinct
	n := int(r.byte())
	switch {
	case n == sketched && len(r.in) >= len(d.Registers):
		d.Registers = (*[len(d.Registers)]uint8)(r.in)
		users, _ := d.Count()
		r.in = r.in[len(d.Registers):]
		return users
	case n == sketched || 8*n > len(r.in):
		r.fail("the users")
		return 0
	}
	r.in = r.in[8*n:]
	return int64(n)
}
