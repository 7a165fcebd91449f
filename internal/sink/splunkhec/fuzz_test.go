package splunkhec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/format"
)

// One alert is one event, whatever it holds: one JSON object whose fields are those that we meant.
func FuzzEvent(f *testing.F) {
	for _, s := range sinktest.Hostile() {
		f.Add(s, s, s)
	}
	s := &Sink{encode: encoder(f)}
	if err := s.envelope(Config{Host: "h", Fields: map[string]string{"site": "hq"}}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, title, rule, state string) {
		a := sinktest.Full()
		a.Title, a.App.Name, a.RuleID, a.Actor.UPN = title, title, rule, state
		d := json.NewDecoder(bytes.NewReader(s.event(nil, &a)))
		d.DisallowUnknownFields()
		var e envelope
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if err := d.Decode(&struct{}{}); !errors.Is(err, io.EOF) {
			t.Fatalf("more than one event: %v", err)
		}
		if len(e.Fields) != 7 || e.Fields["delivery_id"] != a.DeliveryID.String() || e.Fields["site"] != "hq" || e.Host != "h" || e.SourceType != defaultSourceType {
			t.Fatalf("%+v", e)
		}
	})
}

func encoder(t testing.TB) format.Encoder {
	t.Helper()
	encode, err := format.Named("cim")
	if err != nil {
		t.Fatal(err)
	}
	return encode
}
