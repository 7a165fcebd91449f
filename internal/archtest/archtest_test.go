package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// allowedState are package-level variables that are constants in all but name, or that the linker sets.
func allowedState() []string {
	return []string{
		"cmd/appgovd.version", // set by the linker
	}
}

func TestHouse(t *testing.T) {
	root := os.DirFS("../..")
	house, err := load(root)
	if err != nil {
		t.Fatal(err)
	}
	document, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := parseTable(string(document))
	if err != nil {
		t.Fatal(err)
	}
	for name, found := range map[string][]string{
		"imports point down as the table says":      checkImports(house, rules),
		"every package has a row in the table":      checkRows(house, rules),
		"no forbidden import":                       checkBans(house, bans()),
		"nothing registers itself by init":          checkInit(house),
		"no package-level state":                    checkState(house, allowedState()),
		"what must be deterministic reads no clock": checkClock(house),
		"no test sleeps":                            checkSleep(house),
		"every package says what it owns":           checkComments(house),
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range found {
				t.Error(f)
			}
		})
	}
}

// document is a small table in the form of docs/architecture.md.
const document = "| package | owns | may import (ours) |\n|---|---|---|\n" +
	"| `event` | words | - |\n" +
	"| `detect` | machine; `detect/ruletest` | event |\n" +
	"| `ledger` | frames | event |\n" +
	"| `sink/*` | a destination | event, ledger (for one type) |\n" +
	"| `sim` | the cloud | - (nothing imports it) |\n" +
	"| `app` | all | all |\n"

// TestChecksCanFail shows each check a file that breaks its rule, and one that keeps it.
func TestChecksCanFail(t *testing.T) {
	rules, err := parseTable(document)
	if err != nil {
		t.Fatal(err)
	}
	imports := func(h *tree) []string { return checkImports(h, rules) }
	rows := func(h *tree) []string { return checkRows(h, rules) }
	banned := func(h *tree) []string { return checkBans(h, bans()) }
	state := func(h *tree) []string { return checkState(h, []string{"event.allowed"}) }
	const ours = `import _ "` + module + `/internal/`

	for name, c := range map[string]struct {
		check func(*tree) []string
		file  string
		body  string
		want  string // a part of the only finding; empty means none
	}{
		"a room may import what its row names":            {imports, "internal/detect/a.go", ours + `event"`, ""},
		"a room must not import another room":             {imports, "internal/detect/a.go", ours + `ledger"`, "detect imports ledger"},
		"a lower room must not import a higher one":       {imports, "internal/event/a.go", ours + `detect"`, "event imports detect"},
		"a part of a room follows its row":                {imports, "internal/detect/ruletest/a.go", ours + `ledger"`, "detect/ruletest imports ledger"},
		"a part of a room may import the room":            {imports, "internal/detect/ruletest/a.go", ours + `detect"`, ""},
		"an adapter follows the row with the star":        {imports, "internal/sink/kafka/a.go", ours + `ledger"`, ""},
		"an adapter must not import another adapter":      {imports, "internal/sink/kafka/a.go", ours + `sink/file"`, "sink/kafka imports sink/file"},
		"app may import everything":                       {imports, "internal/app/a.go", ours + `ledger"`, ""},
		"app must not import the simulated cloud":         {imports, "internal/app/a.go", ours + `sim"`, "app imports sim"},
		"the simulator's command imports it":              {imports, "cmd/appgov-sim/a.go", ours + `sim"`, ""},
		"tests may import everything":                     {imports, "internal/event/a_test.go", ours + `sim"`, ""},
		"the product must not import test support":        {imports, "internal/app/a.go", ours + `servicetest"`, "app imports servicetest"},
		"a package without a row is found":                {rows, "internal/util/a.go", "", "internal/util has no row"},
		"the SDK's root package is forbidden, even tests": {banned, "internal/app/a_test.go", `import _ "github.com/microsoftgraph/msgraph-sdk-go"`, "links the whole API"},
		"the SDK's request builders are not":              {banned, "internal/provider/msgraph/a.go", `import _ "github.com/microsoftgraph/msgraph-sdk-go/applications"`, ""},
		"detect must not reach the network":               {banned, "internal/detect/a.go", `import _ "net/http"`, "without I/O"},
		"inventory must not read files":                   {banned, "internal/inventory/a.go", `import _ "os"`, "without I/O"},
		"a global logger is forbidden":                    {banned, "internal/ledger/a.go", `import _ "log/slog"`, "zap"},
		"an init function is found":                       {checkInit, "internal/event/a.go", "func init() {}", "init function"},
		"a method named init is none":                     {checkInit, "internal/event/a.go", "type t int\nfunc (t) init() {}", ""},
		"a package-level map is state":                    {state, "internal/event/a.go", "var cache = map[string]int{}", "variable cache"},
		"the second of two variables is found":            {state, "internal/event/a.go", "var (\n_ = 1\nn int\n)", "variable n"},
		"a sentinel error is no state":                    {state, "internal/event/a.go", `var ErrX = errors.New("x")`, ""},
		"an embedded file is no state":                    {state, "internal/event/a.go", "//go:embed a.txt\nvar text string", ""},
		"a variable of the allow list is no state":        {state, "internal/event/a.go", "var allowed = 1", ""},
		"the clock in detect is found":                    {checkClock, "internal/detect/a.go", "func f() { _ = time.Now() }", "time.Now"},
		"the clock handed on as a function is found":      {checkClock, "internal/detect/a.go", "func f() { g(time.Now) }", "time.Now"},
		"the clock in ingest is fine":                     {checkClock, "internal/ingest/a.go", "func f() { _ = time.Now() }", ""},
		"a sleeping test is found":                        {checkSleep, "internal/event/a_test.go", "func f() { time.Sleep(1) }", "time.Sleep"},
		"a package without a comment is found":            {checkComments, "cmd/appgovd/a.go", "", "cmd/appgovd has no package comment"},
	} {
		t.Run(name, func(t *testing.T) {
			house, err := load(fstest.MapFS{c.file: {Data: []byte("package x\n" + c.body)}})
			if err != nil {
				t.Fatal(err)
			}
			assertOnly(t, c.check(house), c.want)
		})
	}
}

// assertOnly wants a finding that contains want, or none; rows that do not exist in a fixture do not count.
func assertOnly(t *testing.T, found []string, want string) {
	t.Helper()
	for _, f := range found {
		switch {
		case strings.Contains(f, "which does not exist"):
		case want == "" || !strings.Contains(f, want):
			t.Errorf("unwanted finding: %s", f)
		default:
			return
		}
	}
	if want != "" {
		t.Errorf("no finding contains %q", want)
	}
}

func TestTable(t *testing.T) {
	t.Run("a row without a package is found", func(t *testing.T) {
		rules, err := parseTable(document)
		if err != nil {
			t.Fatal(err)
		}
		house, err := load(fstest.MapFS{})
		if err != nil {
			t.Fatal(err)
		}
		if found := checkRows(house, rules); len(found) != len(rules) {
			t.Errorf("%d findings for %d rows: %v", len(found), len(rules), found)
		}
	})
	t.Run("a document without a table is an error", func(t *testing.T) {
		if _, err := parseTable("# Architecture\n"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a nested module is not of the house", func(t *testing.T) {
		house, err := load(fstest.MapFS{"tools/go.mod": {}, "tools/a.go": {Data: []byte("package tools\nfunc init() {}")}})
		if err != nil {
			t.Fatal(err)
		}
		if found := checkInit(house); len(found) > 0 {
			t.Errorf("found %v", found)
		}
	})
}
