package event

import "slices"

// Distinct counts how many different values it was given: exactly up to a few, within
// some 7 % beyond (see Registers). It is bounded, and two of them can be merged. Equal sets of values
// make equal ones, in whatever order and parts they came. The zero value is empty.
type Distinct struct {
	Few       []uint64 // sorted hashes, while there are no Registers
	Registers *[registers]uint8
}

const (
	registers = 256
	maxFew    = 16
)

// Add counts a value, without regard to ASCII case; "" is none.
func (d *Distinct) Add(value string) {
	if value != "" {
		d.add(hashValue(value))
	}
}

// hashValue is FNV-1a of the value in lower case, its bits mixed: it is the same in
// every process, as replay asks for.
func hashValue(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		h = (h ^ uint64(c)) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

func (d *Distinct) add(h uint64) {
	if d.Registers != nil {
		Registers(d.Registers[:]).Add(h)
		return
	}
	i, found := slices.BinarySearch(d.Few, h)
	switch {
	case found:
	case len(d.Few) < maxFew:
		d.Few = slices.Insert(d.Few, i, h)
	default:
		d.spill()
		Registers(d.Registers[:]).Add(h)
	}
}

// spill turns the exact set into registers.
func (d *Distinct) spill() {
	d.Registers = new([registers]uint8)
	for _, h := range d.Few {
		Registers(d.Registers[:]).Add(h)
	}
	d.Few = nil
}

// Merge counts the values of o, too; o stays as it is and shares nothing with d.
func (d *Distinct) Merge(o *Distinct) {
	if o.Registers == nil {
		for _, h := range o.Few {
			d.add(h)
		}
		return
	}
	if d.Registers == nil {
		d.spill()
	}
	for i, r := range o.Registers {
		d.Registers[i] = max(d.Registers[i], r)
	}
}

// Count is how many values there are; exact is false where that is an estimate.
func (d *Distinct) Count() (n int64, exact bool) {
	if d.Registers == nil {
		return int64(len(d.Few)), true
	}
	return Registers(d.Registers[:]).Estimate(), false
}
