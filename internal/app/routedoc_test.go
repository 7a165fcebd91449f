package app

import (
	"os"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/route"
)

// The page about routing names every field that alerts can be grouped by.
func TestThePageOfRoutingNamesEveryField(t *testing.T) {
	text, err := os.ReadFile("../../docs/sinks.md")
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, 0, len(route.Fields()))
	for _, f := range route.Fields() {
		names = append(names, "`"+f.Name+"`")
	}
	if list := strings.Join(names, ", "); !strings.Contains(string(text), list) {
		t.Errorf("docs/sinks.md does not have: %s", list)
	}
}
