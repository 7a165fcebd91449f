package rule

import (
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
)

func blobWith(where string, files map[string]string) *event.RulesBlob {
	b := blobOf("list \"table\" {\n  file = \"table.csv\"\n}\nlist \"json\" {\n  file = \"data/t.json\"\n}\nrule \"a\" {\n  title = \"t\"\n  severity = \"low\"\n  on = [\"app.consent.granted\"]\n  where = " + where + "\n}\n")
	for _, name := range []string{"table.csv", "data/t.json"} {
		if text, ok := files[name]; ok {
			b.Files = append(b.Files, event.RulesFile{Path: name, Text: []byte(text)})
		}
	}
	return b
}

func TestAListIsReadFromItsFile(t *testing.T) {
	files := map[string]string{
		"table.csv":   "\ufeffapp,team,until,comment\n# a remark\n\"Contoso Mail Sync\",Messaging,,x\nold,Archive,2020-01-01,\n64500,Network,,\n",
		"data/t.json": `[{"entry": "NL", "risk": 3, "eu": true, "until": "2030-01-01", "note": null}]`,
	}
	for expr, want := range map[string]Truth{
		`in_list("table", app.name)`:                        True,
		`in_list("table", "old")`:                           False,
		`in_list("table", source.asn)`:                      True,
		`lookup("table", app.name, "team") == "messaging"`:  True,
		`lookup("table", "old", "team") == "archive"`:       Unknown,
		`lookup("json", source.country, "risk") == "3"`:     True,
		`lookup("json", source.country, "eu") == "true"`:    True,
		`lookup("table", actor.upn, "team") == "messaging"`: Unknown,
	} {
		set, diags := Compile(blobWith(expr, files))
		if diags.HasErrors() {
			t.Errorf("%s: %v", expr, diags)
			continue
		}
		if got := set.Rules[0].Match(sample()); got != want {
			t.Errorf("%s is %v, want %v", expr, got, want)
		}
	}
}

func TestWhatAListFileMayNotBe(t *testing.T) {
	good := map[string]string{"table.csv": "entry\nx\n", "data/t.json": "[]"}
	for what, tt := range map[string]struct{ name, text, want string }{
		"no file of that name":     {"table.csv", "", "There is no file \"table.csv\" below the rules directories."},
		"an empty file":            {"table.csv", "\n", "a header line is expected"},
		"a line with too little":   {"table.csv", "entry,team\nx\n", "table.csv: record on line 2: wrong number of fields"},
		"an empty entry":           {"table.csv", "entry,team\n ,x\n", "table.csv: line 2: the entry is empty"},
		"an end that is no time":   {"table.csv", "entry,until\nx,soon\n", "table.csv: line 2: \"soon\" is neither a time"},
		"an object instead":        {"data/t.json", `{"a":1}`, "an array of objects is expected"},
		"a list as an attribute":   {"data/t.json", `[{"entry":"x","a":[1]}]`, "element 1: \"a\" is a list or an object"},
		"an attribute of no entry": {"", "", "No entry of the list \"table\" has an attribute \"tean\"."},
	} {
		files := map[string]string{"table.csv": good["table.csv"], "data/t.json": good["data/t.json"]}
		where := `in_list("table", app.name)`
		switch {
		case tt.name == "":
			where = `lookup("table", app.name, "tean") == "x"`
		case tt.text == "":
			delete(files, tt.name)
		default:
			files[tt.name] = tt.text
		}
		_, diags := Compile(blobWith(where, files))
		if !diags.HasErrors() || !strings.Contains(diags.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", what, diags, tt.want)
		}
	}
}

func TestAttributesOfEntriesInHCL(t *testing.T) {
	set := mustCompile(t, `list "l" {
  entry "Contoso Mail Sync" {
    comment    = "c"
    attributes = { team = "messaging", tier = "1" }
  }
}
rule "a" {
  title    = "t"
  severity = "low"
  on       = ["app.consent.granted"]
  where    = lookup("l", app.name, "team") == "Messaging"
}`)
	if got := set.Rules[0].Match(sample()); got != True {
		t.Errorf("%v", got)
	}
}
