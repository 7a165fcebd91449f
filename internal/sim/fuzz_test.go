package sim

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzFilter reads any filter: it narrows a window or is refused with a text.
func FuzzFilter(f *testing.F) {
	f.Add("createdDateTime ge 2026-11-01T00:00:00Z and createdDateTime le 2026-11-03T00:00:00Z")
	f.Add("signInEventTypes/any(t: t eq 'servicePrincipal')")
	f.Add("createdDateTime ge '2026-11-01'")
	f.Add("signInEventTypes/any(")
	f.Fuzz(func(t *testing.T, filter string) {
		clauses, err := parseFilter(filter)
		if err == nil {
			var tok logToken
			if err := tok.narrow(clauses, "createdDateTime"); err != nil && err.Error() == "" {
				t.Error("a refusal without a text")
			}
		}
	})
}

// FuzzLinkToken opens any text as a link's token: only what was sealed opens.
func FuzzLinkToken(f *testing.F) {
	c, err := New(Options{Seed: 1, Apps: 1, Now: epoch})
	if err != nil {
		f.Fatal(err)
	}
	good := c.tokens.seal(deltaToken{In: colGrants, To: 3})
	f.Add(good)
	f.Add("")
	f.Add("x.y")
	f.Fuzz(func(t *testing.T, text string) {
		var tok deltaToken
		if c.tokens.open(text, &tok) && text != good {
			t.Errorf("%q opens", text)
		}
		if _, err := c.tokens.verify(text, epoch()); err == nil {
			t.Errorf("%q is an access token", text)
		}
	})
}

// FuzzString encodes any text: the JSON is valid and says the same.
func FuzzString(f *testing.F) {
	f.Add("Update application – Certificates and secrets management ")
	f.Add("\x00\"\\\x1f\u2028")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(s) && back != s {
			t.Errorf("%q became %q", s, back)
		}
	})
}
