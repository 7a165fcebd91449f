package rule

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTheSchemaOfTheLanguageIsFresh(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "../../docs/reference/rules.schema.json", string(b)+"\n")
}

// A block that the sample text forgets would be an empty one in the schema.
func TestEveryBlockOfTheLanguageIsInTheSchema(t *testing.T) {
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Properties map[string]struct {
			Additional json.RawMessage `json:"additionalProperties"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for name, p := range doc.Properties {
		if strings.Contains(string(p.Additional), `"properties": {}`) {
			t.Errorf("a block within %s has no attributes: is it in the sample?\n%s", name, p.Additional)
		}
	}
	for path, want := range map[string][]string{
		"rule": {"where", "on", "sequence", "shadow_of", "min_samples", "max_evidence"}, "policy": {"scope", "except"}, "test": {"expect", "credential", "disabled_by"},
		"exception": {"owner"}, "risk": {"half_life"}, "list": {"file", "until"},
	} {
		for _, w := range want {
			if !strings.Contains(string(doc.Properties[path].Additional), `"`+w+`"`) {
				t.Errorf("%s has no %s", path, w)
			}
		}
	}
}
