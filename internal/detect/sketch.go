package detect

import "github.com/appgovd/appgovd/internal/event"

// sketch estimates how many different values a window has seen, within some 3 %.
type sketch struct {
	At        int32 // number of the window
	Registers [1 << precision]uint8
}

const precision = 10

func (s *sketch) add(v uint64) { event.Registers(s.Registers[:]).Add(v) }

func (s *sketch) estimate() int64 { return event.Registers(s.Registers[:]).Estimate() }
