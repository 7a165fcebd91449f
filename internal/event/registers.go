package event

import (
	"math"
	"math/bits"
)

// Registers are those of a HyperLogLog (Flajolet and others, 2007): a power of two of
// them. They estimate how many different hashes were added, within 1.04 by the root of
// their number, with linear counting where values are few.
type Registers []uint8

// Add counts a hash of 64 bits.
func (r Registers) Add(h uint64) {
	precision := bits.Len(uint(len(r))) - 1
	i := h >> (64 - precision)
	rank := uint8(bits.LeadingZeros64(h<<precision|1<<(precision-1)) + 1)
	r[i] = max(r[i], rank)
}

// Estimate is about how many different hashes were added.
func (r Registers) Estimate() int64 {
	m := float64(len(r))
	sum, zeros := 0.0, 0
	for _, v := range r {
		sum += math.Ldexp(1, -int(v))
		if v == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}
