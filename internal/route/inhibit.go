package route

import (
	"errors"
	"fmt"

	"github.com/appgovd/appgovd/internal/event"
)

// Inhibit keeps alerts from being told while a graver one is open: nobody is told of
// one that Target matches while an alert is open that Source matches and that has the
// same values in all fields of Equal. No alert inhibits itself.
type Inhibit struct {
	Source Matcher
	Target Matcher
	Equal  []string // names of fields, as for group_by; empty = any open source will do

	id     event.ID // of its words: what an open source is known by
	fields []Field
}

// MaxInhibits is how many there can be.
const MaxInhibits = 32

func (in *Inhibit) prepare() error {
	if in.Source == nil || in.Target == nil {
		return errors.New("it needs a source and a target")
	}
	if len(in.Equal) > MaxGroupBy {
		return fmt.Errorf("equal has %d fields, at most %d are possible", len(in.Equal), MaxGroupBy)
	}
	words := []string{"inhibit", in.Source.String(), in.Target.String()}
	for _, name := range in.Equal {
		f, ok := FieldNamed(name)
		if !ok {
			return fmt.Errorf("there is no field %q", name)
		}
		in.fields, words = append(in.fields, f), append(words, name)
	}
	in.id = event.NewID(words...)
	return nil
}
