package normalise

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/appgovd/appgovd/internal/event"
)

var update = flag.Bool("update", false, "write what the decoders say into testdata/traps")

// outcome is what became of one record, without what is the same for all.
type outcome struct {
	Shape       string        `json:"shape"`
	Kind        string        `json:"kind"`
	Event       *event.Event  `json:"event"`
	Object      *event.Object `json:"object"`
	Quarantined string        `json:"quarantined"`
}

func outcomeOf(raw []byte, bad error) outcome {
	given := bytes.Clone(raw)
	r, err := New(tenant).Exported(given)
	for i := range given { // the caller may do with it what it likes
		given[i] = '#'
	}
	if bad != nil {
		err = bad
	}
	if err != nil {
		return outcome{Shape: r.Shape, Kind: r.Kind, Quarantined: ReasonOf(err)}
	}
	if e := r.Event; e != nil {
		e.ID, e.Content, e.Raw, e.Provider, e.Tenant = event.ID{}, event.ID{}, nil, "", ""
	}
	if o := r.Object; o != nil {
		o.Content = event.ID{}
	}
	return outcome{Shape: r.Shape, Kind: r.Kind, Event: r.Event, Object: r.Object}
}

// Each file of testdata/traps is one trap of Microsoft's records: what it is, the
// records as they come, and what they mean. go test -update writes the last part;
// read it before you believe it.
func TestTraps(t *testing.T) {
	files, err := filepath.Glob("testdata/traps/*.txtar")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d traps, %v", len(files), err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) { trap(t, name) })
	}
}

func trap(t *testing.T, name string) {
	a, err := txtar.ParseFile(name)
	if err != nil || len(a.Comment) < 20 || len(a.Files) != 2 || a.Files[0].Name != "records" || a.Files[1].Name != "meaning" {
		t.Fatalf("want a comment and the files records and meaning; %v", err)
	}
	var got []byte
	if err := Records(bytes.NewReader(a.Files[0].Data), func(raw []byte, bad error) error {
		b, err := json.Marshal(outcomeOf(raw, bad), json.OmitZeroStructFields(true), json.WithMarshalers(json.MarshalFunc(func(d time.Duration) ([]byte, error) { return json.Marshal(d.String()) })), jsontext.WithIndent("  "), json.Deterministic(true))
		got = append(append(got, b...), '\n')
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if *update {
		a.Files[1].Data = got
		if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(a.Files[1].Data), string(got)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
