package rule

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
)

func TestLintTellsWhatWorksAndIsNoGoodRule(t *testing.T) {
	blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{
		{Path: "a.hcl", Text: []byte(`list "old" {
  entry "x" {
    until = "2026-01-01"
  }
}
rule "good" {
  title       = "t"
  description = "what to look at"
  severity    = "low"
  techniques  = []
  on          = ["app.added"]
  where       = app.name != "Quiet" && true
}
rule "poor" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = 1 < 2 || app.name == "x"
}
`)},
		{Path: "a.test.hcl", Text: []byte(`test "an app appears" {
  rules = ["good"]
  event {
    action = "app.added"
    details = { a = "b" }
  }
  expect {}
}
test "a quiet app appears" {
  rules = ["good"]
  tick {
    at = "1h"
  }
}
`)}}}
	var got []string
	for _, d := range Lint(blob, time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
		got = append(got, strings.TrimSpace(strings.SplitN(d.Error(), ";", 2)[0]))
	}
	want := []string{
		"a.hcl:14,1-12: No test fires", "a.hcl:14,1-12: No near miss", "a.hcl:14,1-12: No description", "a.hcl:14,1-12: No technique",
		"a.hcl:18,14-38: Always the same", "a.hcl:18,14-19: Always the same", "a.hcl:1,1-11: List not used", "a.hcl:1,1-11: Entry has expired",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLintTellsExceptionsThatHaveEnded(t *testing.T) {
	exception := func(until string) string {
		return "exception \"e\" {\n rules = [\"a\"]\n where = true\n reason = \"r\"\n owner = \"o\"\n" + until + "}\n"
	}
	for until, want := range map[string]bool{"": false, "until = \"2026-06-01\"\n": true, "until = \"2026-06-02\"\n": false} {
		told := false
		for _, d := range Lint(blobOf("rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n}\n"+exception(until)), time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
			told = told || d.Summary == "Exception has ended"
		}
		if told != want {
			t.Errorf("%q: told %v, want %v", until, told, want)
		}
	}
}

func TestLintTellsMistakesOnce(t *testing.T) {
	diags := Lint(blobOf("rule \"a\" {\n title = \"t\"\n severity = \"low\"\n on = [\"app.added\"]\n where = app.nme == \"x\"\n}\ntest \"x\" {\n rules = [\"b\"]\n}"), time.Now())
	if len(diags) != 2 || !diags.HasErrors() {
		t.Error(diags)
	}
}

func TestLintTellsNamesAndValuesThatLookMistyped(t *testing.T) {
	const head = "rule \"a\" {\n title = \"t\"\n description = \"d\"\n severity = \"low\"\n techniques = []\n on = [\"app.updated\"]\n where = "
	cases := []struct{ where, want string }{
		{`actor.type == "users"`, `actor.type is never "users"; it is one of user, app, service. Did you mean "user"?`},
		{`"extern" != app.origin`, `app.origin is never "extern"; it is one of own, external, first_party. Did you mean "external"?`},
		{`any_of(signin.kind, "Interactive", "robot")`, `signin.kind is never "robot"; it is one of interactive, non_interactive, service_principal, managed_identity.`},
		{`changed("AppAdress")`, `No provider is known to write a property "AppAdress". Did you mean "AppAddress"?`},
		{`length(added("reply_url")) > 0`, `No provider is known to write a property "reply_url". Did you mean "reply_urls"?`},
		{`has_permission(permissions, "application:Mial.Read")`, `permission_tiers.csv grades no permission "Mial.Read", but "mail.read".`},
		{`tier("Mail.Raed") == 1`, `permission_tiers.csv grades no permission "Mail.Raed", but "mail.read".`},
		{`actor.type == "USER" && changed("apPaddress", "SomethingElse") && has_permission(permissions, "Mail.*", "mail.read", "Own.Thing")`, ""},
	}
	for _, x := range cases {
		blob := blobOf(head + x.where + "\n}")
		blob.Files = append(blob.Files, event.RulesFile{Path: "permission_tiers.csv", Text: []byte("api,kind,name,tier\ngraph,application,Mail.Read,2\n")})
		got := ""
		for _, d := range Lint(blob, time.Now()) {
			if d.Summary != "No test fires" && d.Summary != "No near miss" {
				got += d.Detail
			}
		}
		if got != x.want {
			t.Errorf("%s: %q, want %q", x.where, got, x.want)
		}
	}
}

func TestOfAFileThatDoesNotParseNothingIsMissing(t *testing.T) {
	_, diags := Compile(blobOf("rule \"torn\" {\n title = \"t\"\n severity \"low\"\n on = [\"app.added\"]\n}"))
	if !diags.HasErrors() {
		t.Fatal("no error")
	}
	for _, d := range diags {
		if strings.HasPrefix(d.Summary, "Missing") {
			t.Error(d)
		}
	}
}
