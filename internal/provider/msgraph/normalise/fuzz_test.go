package normalise

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/appgovd/appgovd/internal/event"
)

// Each decoder has its target; the seeds are the traps, and what lies below
// testdata/fuzz.
func FuzzAudit(f *testing.F)  { fuzzEvent(f, "audit", (*Decoder).Audit) }
func FuzzAlert(f *testing.F)  { fuzzEvent(f, "alert", (*Decoder).Alert) }
func FuzzSignIn(f *testing.F) { fuzzEvent(f, "signin", signInOf) }

func FuzzApplication(f *testing.F)       { fuzzObject(f, (*Decoder).Application) }
func FuzzServicePrincipal(f *testing.F)  { fuzzObject(f, (*Decoder).ServicePrincipal) }
func FuzzDelegatedGrant(f *testing.F)    { fuzzObject(f, (*Decoder).DelegatedGrant) }
func FuzzAppRoleAssignment(f *testing.F) { fuzzObject(f, (*Decoder).AppRoleAssignment) }

func FuzzCall(f *testing.F) {
	fuzzEvent(f, "call", func(d *Decoder, raw []byte) (event.Event, error) {
		e, err := d.Call(raw)
		if err != nil {
			return e, err
		}
		c := e.Call
		if c.Endpoint == "" || len(c.Endpoint) > 1<<10 || !slices.Contains(event.Workloads(), c.Workload) {
			t := fmt.Sprintf("endpoint %q of workload %q", c.Endpoint, c.Workload)
			panic(t)
		}
		for segment := range strings.SplitSeq(c.Endpoint, "/") {
			if w, known := readWords()[strings.ToLower(strings.TrimSuffix(segment, ":"))]; segment != "" && segment != "*" && segment != "{id}" && segment != "{id}:" && segment != "{path}:" && (!known || w.name != strings.TrimSuffix(segment, ":")) {
				panic(fmt.Sprintf("%q of %q is no name of the vocabulary", segment, c.Endpoint))
			}
		}
		return e, nil
	})
}

func signInOf(d *Decoder, raw []byte) (event.Event, error) { return d.SignIn("", raw) }

// seeds adds the records of the traps whose names begin so.
func seeds(f *testing.F, prefix string) {
	f.Helper()
	files, err := filepath.Glob("testdata/traps/" + prefix + "*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no traps %s*, %v", prefix, err)
	}
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(a.Files[0].Data) {
			f.Add(bytes.TrimSpace(line))
		}
	}
}

// refused checks that a refusal has a reason of the closed vocabulary.
func refused(t *testing.T, err error) {
	t.Helper()
	if r := ReasonOf(err); !slices.Contains([]string{"no_time", "no_id", "not_json", "not_an_object", "wrong_type", "too_large", "unknown_shape"}, r) {
		t.Errorf("reason %q of %v", r, err)
	}
}

func fuzzEvent(f *testing.F, prefix string, decode func(*Decoder, []byte) (event.Event, error)) {
	seeds(f, prefix)
	seeds(f, "time")
	f.Fuzz(func(t *testing.T, raw []byte) {
		given := bytes.Clone(raw)
		e, err := decode(New(tenant), given)
		if !bytes.Equal(given, raw) {
			t.Error("the decoder changed the record")
		}
		if err != nil {
			refused(t, err)
			return
		}
		for i := range given { // the caller may do with it what it likes
			given[i] = '#'
		}
		sound(t, &e)
		if again, err := decode(New(tenant), raw); err != nil || !bytes.Equal(event.AppendEvent(nil, &again), event.AppendEvent(nil, &e)) {
			t.Errorf("decoded twice: %+v, %+v, %v", e, again, err)
		}
	})
}

// sound checks what every event promises.
func sound(t *testing.T, e *event.Event) {
	t.Helper()
	if e.UpstreamID == "" || e.ID.IsZero() || e.Content.IsZero() || e.Action == "" || e.Class == "" {
		t.Errorf("incomplete: %+v", e)
	}
	if y := e.Time.Year(); y < 1970 || y >= 2200 {
		t.Errorf("time %v", e.Time)
	}
	if !jsontext.Value(e.Raw).IsValid() {
		t.Errorf("the raw record is no JSON: %q", e.Raw)
	}
	if strings.Contains(string(e.Raw), `"secretText":`) {
		t.Errorf("a secret is kept: %s", e.Raw)
	}
	if _, err := event.DecodeEvent(event.AppendEvent(nil, e)); err != nil {
		t.Errorf("not storable: %v", err)
	}
}

func fuzzObject(f *testing.F, decode func(*Decoder, []byte) (event.Object, error)) {
	seeds(f, "object")
	f.Fuzz(func(t *testing.T, raw []byte) {
		o, err := decode(New(tenant), raw)
		if err != nil {
			refused(t, err)
			return
		}
		if o.ID == "" || o.Kind == "" || o.Removed == "" && o.App == nil && o.Grant == nil {
			t.Errorf("incomplete: %+v", o)
		}
		if _, err := event.DecodeObject(event.AppendObject(nil, &o)); err != nil {
			t.Errorf("not storable: %v", err)
		}
	})
}

func FuzzOffice(f *testing.F) {
	fuzzEvent(f, "office", func(d *Decoder, raw []byte) (event.Event, error) {
		r, err := with(d, raw, func(w *work, o object) (Record, error) { return w.office(unpacked(o)) })
		if err != nil {
			return event.Event{}, err
		}
		return *r.Event, nil
	})
}

func FuzzOfficeContent(f *testing.F) {
	fuzzEvent(f, "office", func(d *Decoder, raw []byte) (event.Event, error) {
		e, tells, err := d.Office(raw)
		if err == nil && !tells {
			err = refuse("unknown_shape", "it tells of no app")
		}
		return e, err
	})
}

func FuzzPortal(f *testing.F) {
	fuzzEvent(f, "portal", func(d *Decoder, raw []byte) (event.Event, error) {
		return eventBy(d, raw, func(w *work, e *event.Event, o object) error { return w.portal(e, portalKind(o), o) })
	})
}

func FuzzHunting(f *testing.F) {
	fuzzEvent(f, "hunting", func(d *Decoder, raw []byte) (event.Event, error) {
		r, err := with(d, raw, func(w *work, o object) (Record, error) { return w.hunted(or(huntedKind(o), HuntActivity), o) })
		if err == nil && r.Event == nil {
			err = refuse("unknown_shape", "an object")
		}
		if err != nil {
			return event.Event{}, err
		}
		return *r.Event, nil
	})
}

func FuzzAny(f *testing.F) {
	for _, prefix := range []string{"shapes", "record", "signin", "object", "alert", "office", "call"} {
		seeds(f, prefix)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := New(tenant).Exported(raw)
		switch {
		case err != nil:
			refused(t, err)
		case (r.Event == nil) == (r.Object == nil) || r.Shape == "" || r.Kind == "" || r.Tenant == "":
			t.Errorf("incomplete: %+v", r)
		case r.Event != nil:
			sound(t, r.Event)
		}
	})
}

// Whatever a file holds, splitting it ends, gives only JSON as good records, and
// never more than there is.
func FuzzRecords(f *testing.F) {
	seeds(f, "record")
	f.Add([]byte("{\"value\":[{\"a\":1},{\"b\":\n2}],\"x\":{}}\n{\"records\":[]}"))
	f.Add([]byte("[{\"a\":1},\n{\"b\" 2},\n{\"c\":3}]\n17 \"x\" {"))
	f.Add([]byte("\xff\xfe{\x00}\x00"))
	f.Add([]byte(`{"tables":[{"columns":[{"name":"a"},{"ColumnName":"b"},3],"rows":[[1,"x",null],[{"c":[1]}],7]}],"Tables":[[]]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		calls := 0
		if err := Records(bytes.NewReader(raw), func(rec []byte, bad error) error {
			if calls++; calls > len(raw)+1 {
				t.Fatal("more records than bytes")
			}
			if bad == nil && !jsontext.Value(rec).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) {
				t.Errorf("a good record is no JSON: %q", rec)
			}
			if bad != nil {
				refused(t, bad)
			}
			return nil
		}); err != nil {
			t.Errorf("%v", err)
		}
	})
}

// Whatever stands in a CSV file, its rows are objects or told with a reason.
func FuzzCSV(f *testing.F) {
	f.Add([]byte("\"Id\",\"x\"\r\n1,\"{\"\"a\"\":1}\"\r\n,\r\n\"two\nlines\",\n"))
	f.Add([]byte("a\tb\n\"1\n2,3\n4,\"\"\n1,2,3,4"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		calls := 0
		if err := Records(bytes.NewReader(append([]byte("TimeGenerated,"), raw...)), func(rec []byte, bad error) error {
			if calls++; calls > len(raw)+1 {
				t.Fatal("more rows than bytes")
			}
			if bad != nil {
				refused(t, bad)
			} else if !jsontext.Value(rec).IsValid(jsontext.AllowDuplicateNames(true)) {
				t.Errorf("a good row is no JSON: %q", rec)
			}
			return nil
		}); err != nil {
			t.Errorf("%v", err)
		}
	})
}
