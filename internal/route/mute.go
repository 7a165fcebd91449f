package route

import (
	"errors"
	"fmt"
	"time"
)

// Mute is a window of the week in which nobody is told. It lies on the clock on the
// wall of its place, so that it follows summer time.
type Mute struct {
	Name     string
	Weekdays []time.Weekday // on which it begins; empty = every day
	From, To Clock          // To is the first minute behind it; not above From = it ends on the next day
	Zone     *time.Location // nil = UTC
}

// Clock is minutes since midnight, 0 to 1440 (24:00).
type Clock int

// ParseClock reads "22:00".
func ParseClock(s string) (Clock, error) {
	var h, m int
	if n, err := fmt.Sscanf(s, "%2d:%2d", &h, &m); n != 2 || err != nil || len(s) != 5 || h < 0 || m < 0 || m > 59 || h*60+m > 24*60 {
		return 0, fmt.Errorf("%q is no time of the day: write \"22:00\"", s)
	}
	return Clock(h*60 + m), nil
}

// String is the form that ParseClock reads.
func (c Clock) String() string { return fmt.Sprintf("%02d:%02d", int(c)/60, int(c)%60) }

func (m *Mute) check() error {
	if m.From < 0 || m.From >= 24*60 || m.To < 0 || m.To > 24*60 {
		return errors.New("from and to are times of the day")
	}
	for _, d := range m.Weekdays {
		if d < time.Sunday || d > time.Saturday {
			return fmt.Errorf("%d is no weekday", int(d))
		}
	}
	return nil
}
