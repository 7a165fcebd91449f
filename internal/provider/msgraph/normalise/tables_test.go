package normalise

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestRowsOfTablesAndSheetsBecomeObjects(t *testing.T) {
	long := strings.Repeat("x", maxRecord+1<<20)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"an answer of Log Analytics", `{"tables":[{"name":"PrimaryResult","columns":[{"name":"TimeGenerated","type":"datetime"},{"name":"N","type":"int"},{"name":"D","type":"dynamic"}],"rows":[["t",1,"{\"a\":1}"],["u",null,""]]}],"statistics":{"query":{}}}`,
			[]string{`{"TimeGenerated":"t","N":1,"D":"{\"a\":1}"}`, `{"TimeGenerated":"u"}`}},
		{"the older interface, several tables", `{"Tables":[{"TableName":"T","Columns":[{"ColumnName":"A"}],"Rows":[[1]]},{"Columns":[{"ColumnName":"B"}],"Rows":[[2],[null]]}]}`, []string{`{"A":1}`, `{"B":2}`, `{}`}},
		{"rows that come before their columns", `{"tables":[{"rows":[[1]],"columns":[{"name":"A"}]}]}`, []string{`wrong_type [1]`}},
		{"a row of another length", `{"tables":[{"columns":[{"name":"A"}],"rows":[[1,2],[3]]}]}`, []string{`wrong_type [1,2]`, `{"A":3}`}},
		{"tables among other records", `{"a":1}` + "\n" + `{"tables":[{"columns":[{"name":"A"}],"rows":[[1]]}]}` + "\n" + `{"b":2}`, []string{`{"a":1}`, `{"A":1}`, `{"b":2}`}},
		{"the sheet that a portal exports", "\xef\xbb\xbfTimeGenerated [UTC],Id,Nested\r\n\"3/1/2026, 10:00:00.123 AM\",a,\"[{\"\"id\"\":\"\"x,y\"\"}]\"\r\n\"t\",,\r\n",
			[]string{`{"TimeGenerated":"3/1/2026, 10:00:00.123 AM","Id":"a","Nested":"[{\"id\":\"x,y\"}]"}`, `{"TimeGenerated":"t"}`}},
		{"a cell of two lines, an empty line", "Timestamp,A\n1,\"two\nlines\"\n\n2,x", []string{`{"Timestamp":"1","A":"two\nlines"}`, `{"Timestamp":"2","A":"x"}`}},
		{"semicolons of a spreadsheet", "Timestamp;A\n1;x,y\n", []string{`{"Timestamp":"1","A":"x,y"}`}},
		{"the type that PowerShell writes first", "#TYPE Selected.X\n\"Timestamp\",\"A\"\n\"1\",\"x\"\n", []string{`{"Timestamp":"1","A":"x"}`}},
		{"UTF-16 with tabs", wide("Timestamp\tA\n1\tx\n"), []string{`{"Timestamp":"1","A":"x"}`}},
		{"a broken row costs its line", "Timestamp,A\n1,\"x\n2,y\n3,z\"z\n4,w\n", []string{`wrong_type 1,"x`, `{"Timestamp":"2","A":"y"}`, `wrong_type 3,z"z`, `{"Timestamp":"4","A":"w"}`}},
		{"too many cells", "Timestamp,A\n1,2,\"3\n4\"\n5,6\n", []string{"wrong_type 1,2,\"3\n4\"", `{"Timestamp":"5","A":"6"}`}},
		{"too few cells", "Timestamp,A\n1\n", []string{`{"Timestamp":"1"}`}},
		{"times in no known zone", "TimeGenerated [Local Time],A\n1,x\n", []string{`no_time 1,x`}},
		{"names of columns alone", "Timestamp,A", nil},
		{"columns that are not known", "Color,A\n", []string{"not_json Color,A"}},
		{"a cell that is too long", "Timestamp,A\n1," + long[:maxCell+1] + "\n2,x", []string{"too_large 1," + long[:maxCell+1], `{"Timestamp":"2","A":"x"}`}},
		{"a row that is too long", "Timestamp,A\n1," + long + "\n2,x", []string{"too_large 1," + long, `{"Timestamp":"2","A":"x"}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := []io.Reader{strings.NewReader(c.in), iotest.DataErrReader(strings.NewReader(c.in))}
			if len(c.in) < 1000 {
				in = append(in, iotest.OneByteReader(strings.NewReader(c.in)))
			}
			for i, r := range in {
				if diff := cmp.Diff(short(c.want), short(split(t, r))); diff != "" {
					t.Errorf("reader %d (-want +got)\n%s", i, diff)
				}
			}
		})
	}
}

// short keeps how a long record begins.
func short(list []string) []string {
	var out []string
	for _, s := range list {
		out = append(out, s[:min(len(s), 200)])
	}
	return out
}

func wide(s string) string {
	out := []byte{0xff, 0xfe}
	for _, c := range []byte(s) {
		out = append(out, c, 0)
	}
	return string(out)
}

// Rows of a real tenant are the same events as lines, as the answer of a query and
// as a sheet.
func TestRealRowsMeanTheSameInEveryForm(t *testing.T) {
	raw := servicetest.Corpus(t, "otrf-golden-saml/AADAuditEvents.json")
	var rows []map[string]any
	names := map[string]bool{}
	for line := range bytes.Lines(raw) {
		var row map[string]any
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
		for name := range row {
			names[name] = true
		}
	}
	columns := slices.Sorted(maps.Keys(names))
	want := meanings(t, raw)
	if len(want) != 4 {
		t.Fatalf("%d events: %q", len(want), want)
	}
	if diff := cmp.Diff(want, meanings(t, answerOf(t, columns, rows))); diff != "" {
		t.Errorf("as an answer (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want, meanings(t, sheetFrom(t, columns, rows))); diff != "" {
		t.Errorf("as a sheet (-want +got)\n%s", diff)
	}
}

func answerOf(t *testing.T, columns []string, rows []map[string]any) []byte {
	t.Helper()
	type column struct {
		Name string `json:"name"`
	}
	type table struct {
		Columns []column `json:"columns"`
		Rows    [][]any  `json:"rows"`
	}
	var out table
	for _, name := range columns {
		out.Columns = append(out.Columns, column{name})
	}
	for _, row := range rows {
		var cells []any
		for _, name := range columns {
			cells = append(cells, row[name])
		}
		out.Rows = append(out.Rows, cells)
	}
	b, err := json.Marshal(map[string]any{"tables": []table{out}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sheetFrom(t *testing.T, columns []string, rows []map[string]any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	lines := [][]string{columns}
	for _, row := range rows {
		var cells []string
		for _, name := range columns {
			cell, _ := row[name].(string)
			switch x := row[name].(type) {
			case nil, string:
			default:
				text, err := json.Marshal(x)
				if err != nil {
					t.Fatal(err)
				}
				cell = string(text)
			}
			cells = append(cells, cell)
		}
		lines = append(lines, cells)
	}
	if err := w.WriteAll(lines); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// meanings tells what each record of a file means.
func meanings(t *testing.T, file []byte) []string {
	t.Helper()
	var out []string
	if err := Records(bytes.NewReader(file), func(raw []byte, bad error) error {
		var r Record
		if bad == nil {
			r, bad = New(tenant).Exported(raw)
		}
		if bad != nil {
			out = append(out, ReasonOf(bad)+": "+bad.Error())
			return nil
		}
		if e := r.Event; e != nil {
			out = append(out, fmt.Sprint(r.Shape, e.ID, e.Time, e.Action, e.Actor, e.App, e.Target, e.Resource, e.Consent, e.Permissions, e.Credential, e.Changes, e.Result, e.Origin))
		} else {
			out = append(out, fmt.Sprint(r.Shape, *r.Object))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}
