package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The templates of the agent are those of every sink, for machines as well as for people,
// that has none of its own.
func TestASinkHasTheLinksOfTheAgentUnlessItHasItsOwn(t *testing.T) {
	var posted []byte
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		posted, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, "ok")
	}))
	defer slack.Close()
	t.Setenv("HOOK", slack.URL)
	for _, tt := range []struct{ name, agent, own, want string }{
		{"the agent's", `links = { "Portal" = "https://portal.example.com/{alert_id}" }`, "", "https://portal.example.com/"},
		{"its own", `links = { "Portal" = "https://portal.example.com/{alert_id}" }`, `links = { "Own" = "https://own.example.com/{alert_id}" }`, "https://own.example.com/"},
		{"none of its own", `links = { "Portal" = "https://portal.example.com/{alert_id}" }`, `links = {}`, ""},
		{"none at all", `links = {}`, "", ""},
		{"Microsoft's, which a test alert about no app has not", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.hcl")
			text := fmt.Sprintf("agent {\n  %s\n}\nsink \"stdout\" \"out\" {\n  %s\n}\nsink \"slack\" \"people\" {\n  url = env(\"HOOK\")\n  proxy = \"none\"\n  %s\n}\n", tt.agent, tt.own, tt.own)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			p, diags := Check(file)
			if p == nil {
				t.Fatal(diags)
			}
			var out bytes.Buffer
			for _, sink := range []string{"stdout/out", "slack/people"} {
				if all, err := p.TestSink(t.Context(), SinkTestOptions{Sink: sink, Out: &out}); err != nil || all[0].Outcome != Accepted {
					t.Fatalf("%+v, %v, %v", all, err, diags)
				}
			}
			var doc struct {
				Event struct{ URL string }
			}
			if err := json.Unmarshal(out.Bytes(), &doc); err != nil || (doc.Event.URL != "") != (tt.want != "") || !strings.HasPrefix(doc.Event.URL, tt.want) {
				t.Errorf("document: %q, %v", doc.Event.URL, err)
			}
			if links := strings.Contains(string(posted), ".example.com"); links != (tt.want != "") || !strings.Contains(string(posted), tt.want) {
				t.Errorf("message: %s", posted)
			}
		})
	}
}
