package app

import (
	"bytes"
	"fmt"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/rule"
)

// DecodeFixture turns a fixture of raw records, in any shape that can be
// exported, into events: for tests beside rules.
func DecodeFixture(name string, raw []byte) ([]event.Event, error) {
	d := normalise.New(rule.TestTenant)
	var out []event.Event
	err := normalise.Records(bytes.NewReader(raw), func(b []byte, bad error) error {
		r, err := d.Any(b)
		if bad != nil {
			err = bad
		}
		if err != nil {
			return fmt.Errorf("decode fixture %s: %w", name, err)
		}
		if r.Event != nil {
			out = append(out, *r.Event)
		}
		return nil
	})
	return out, err
}
