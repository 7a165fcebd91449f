package detect

import (
	"math"
	"math/bits"
)

// sketch estimates how many different values a window has seen, within some 3 %:
// HyperLogLog (Flajolet and others, 2007) with linear counting where values are few.
type sketch struct {
	At        int32 // number of the window
	Registers [1 << precision]uint8
}

const precision = 10

func (s *sketch) add(v uint64) {
	i := v >> (64 - precision)
	rank := uint8(bits.LeadingZeros64(v<<precision|1<<(precision-1)) + 1)
	s.Registers[i] = max(s.Registers[i], rank)
}

func (s *sketch) estimate() int64 {
	const m = 1 << precision
	sum, zeros := 0.0, 0
	for _, r := range s.Registers {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	e := 0.7213 / (1 + 1.079/m) * m * m / sum
	if e <= 2.5*m && zeros > 0 {
		e = m * math.Log(m/float64(zeros))
	}
	return int64(math.Round(e))
}
