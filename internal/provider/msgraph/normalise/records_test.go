package normalise

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// split tells each record as it is, and each broken piece by its reason and its
// text.
func split(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out []string
	if err := Records(r, func(raw []byte, bad error) error {
		if bad != nil {
			out = append(out, ReasonOf(bad)+" "+string(raw))
			return nil
		}
		out = append(out, string(raw))
		return nil
	}); err != nil {
		out = append(out, "error "+err.Error())
	}
	return out
}

func TestFilesAreSplitIntoRecords(t *testing.T) {
	long := `{"a":"` + strings.Repeat("x", maxRecord+1<<20) + `"}`
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"lines", "{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}},
		{"values without a line end between them", `{"a":1}{"b":2} {"c":3}`, []string{`{"a":1}`, `{"b":2}`, `{"c":3}`}},
		{"an array", "[{\"a\":1},\n {\"b\":[{}]}]", []string{`{"a":1}`, `{"b":[{}]}`}},
		{"a page, whatever stands around its value", `{"@odata.context":"x","value":[{"a":1},{"b":2}],"@odata.nextLink":"y"}`, []string{`{"a":1}`, `{"b":2}`}},
		{"a blob of records", `{"records":[{"a":1}]}` + "\n" + `{"records":[{"b":2}]}`, []string{`{"a":1}`, `{"b":2}`}},
		{"an array of pages", `[{"value":[{"a":1}]},{"value":[]},{"value":[{"b":2}]}]`, []string{`{"a":1}`, `{"b":2}`}},
		{"a value that is no list is a member", `{"value":"x","records":7}`, []string{`{"value":"x","records":7}`}},
		{"a byte-order mark", "\xef\xbb\xbf{\"a\":1}", []string{`{"a":1}`}},
		{"UTF-16", "\xff\xfe{\x00}\x00", []string{`{}`}},
		{"scalars are records that others refuse", `17 "x" null`, []string{`17`, `"x"`, `null`}},
		{"nothing", " \n", nil},
		{"a broken line among good ones", "{\"a\":1}\n{\"b\" 2}\n{\"c\":3}\n", []string{`{"a":1}`, `not_json {"b" 2}`, `{"c":3}`}},
		{"a line cut within a text", "{\"a\":1}\n{\"b\":\"x\n{\"c\":3}\n", []string{`{"a":1}`, `not_json {"b":"x`, `{"c":3}`}},
		{"a line cut behind a comma", "{\"b\":1,\n{\"c\":3}\n", []string{`not_json {"b":1,`, `{"c":3}`}},
		{"a last line that was cut", "{\"a\":1}\n{\"b\":", []string{`{"a":1}`, `not_json {"b":`}},
		{"two broken lines are two", "{\"b\" 2}\n{\"c\" 2}\n", []string{`not_json {"b" 2}`, `not_json {"c" 2}`}},
		{"a broken element of an array of lines", "[\n{\"a\":1},\n{\"b\" 2},\n{\"c\":3}\n]\n{\"d\":4}", []string{`{"a":1}`, `not_json {"b" 2},`, `{"c":3}`, `{"d":4}`}},
		{"a broken element of a pretty page is one piece", "{\n \"value\": [\n  {\n   \"a\": 1\n  },\n  {\n   \"b\": 2 oops,\n   \"x\": 1\n  },\n  {\n   \"c\": 3\n  }\n ]\n}",
			[]string{"{\n   \"a\": 1\n  }", `not_json {`, "{\n   \"c\": 3\n  }"}},
		{"garbage", "hello, world\n{\"a\":1}", []string{`not_json hello, world`, `{"a":1}`}},
		{"nested too deeply", strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100) + "\n{\"b\":2}", []string{"not_json " + strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100), `{"b":2}`}},
		{"a value of more than 16 MiB", long + "\n{\"b\":2}", []string{"too_large " + long, `{"b":2}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, in := range []io.Reader{strings.NewReader(c.in), iotest.DataErrReader(strings.NewReader(c.in))} {
				got := split(t, in)
				if len(c.in) > maxRecord {
					for i := range got { // only how it begins is told
						got[i] = got[i][:min(len(got[i]), 20)]
						c.want[i] = c.want[i][:min(len(c.want[i]), 20)]
					}
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
			if len(c.in) < 1000 {
				if diff := cmp.Diff(c.want, split(t, iotest.OneByteReader(strings.NewReader(c.in)))); diff != "" {
					t.Errorf("byte by byte (-want +got)\n%s", diff)
				}
			}
		})
	}
}

func TestWhatWasReadBeforeAFailureCounts(t *testing.T) {
	in := io.MultiReader(strings.NewReader("{\"a\":1}\n{\"b\":"), iotest.ErrReader(errors.New("disk gone")))
	want := []string{`{"a":1}`, `not_json {"b":`, "error read records: disk gone"}
	if diff := cmp.Diff(want, split(t, in)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAnErrorOfTheCallerEndsReading(t *testing.T) {
	mine := errors.New("enough")
	for _, in := range []string{"{\"a\":1}\n{\"b\":2}", "x\n{\"b\":2}", "{\"value\":[{},{}]}"} {
		n := 0
		if err := Records(strings.NewReader(in), func([]byte, error) error { n++; return mine }); !errors.Is(err, mine) || n != 1 {
			t.Errorf("%q: %v after %d records", in, err, n)
		}
	}
}

// A page of any length is read with memory for one record.
func TestAPageIsReadAsAStream(t *testing.T) {
	page := io.MultiReader(strings.NewReader(`{"value":[`), strings.NewReader(strings.Repeat(`{"a":"`+strings.Repeat("x", 1000)+`"},`, 40_000)), strings.NewReader(`{}]}`))
	n := 0
	if err := Records(page, func(raw []byte, bad error) error { n++; return bad }); err != nil || n != 40_001 {
		t.Errorf("%d records, %v", n, err)
	}
}

// Files made to be read anew from each line do not take hours.
func TestHostileFilesAreReadInTime(t *testing.T) {
	for _, s := range []string{",", "]", "{x\n", "{\"a\":\n", "[\n", "{\"a\":[{},\n", "\"", "{\"value\":[\n"} {
		begun := time.Now()
		if err := Records(bytes.NewReader(bytes.Repeat([]byte(s), 256<<10/len(s))), func([]byte, error) error { return nil }); err != nil {
			t.Errorf("%q: %v", s, err)
		}
		if d := time.Since(begun); d > 2*time.Minute {
			t.Errorf("256 KiB of %q took %v", s, d)
		}
	}
}

func BenchmarkRecords(b *testing.B) {
	in := bytes.Repeat([]byte(audit("Add application", alice, `[]`)+"\n"), 1000)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Records(bytes.NewReader(in), func(_ []byte, bad error) error { return bad }); err != nil {
			b.Fatal(err)
		}
	}
}
