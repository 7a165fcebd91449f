package rule

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestLookalike(t *testing.T) {
	cases := []struct {
		sentence, name string
		want           bool
	}{
		{"the brand itself is not its imitation", "Microsoft Teams", false},
		{"nor in capitals", "MICROSOFT TEAMS", false},
		{"a zero for an o", "Micr0soft", true},
		{"a one for an l or an i", "M1crosoft", true},
		{"a capital I for an l", "SaIesforce", true},
		{"a small l for an I", "Mlcrosoft", true},
		{"rn for m", "rnicrosoft Teams", true},
		{"vv for w", "VVorkday", true},
		{"cl for d", "DropBox Aclobe", true},
		{"a Cyrillic letter", "Miсrosoft", true},
		{"Greek letters", "Gοοgle", true},
		{"fullwidth letters", "Ｍicrosoft", true},
		{"mathematical letters", "𝗠𝗶𝗰𝗿𝗼𝘀𝗼𝗳𝘁", true},
		{"an accent", "Göogle", true},
		{"a dollar for an s", "Micro$oft", true},
		{"an invisible character", "Micro\u200bsoft", true},
		{"two letters swapped", "Mircosoft", true},
		{"a letter left out", "Micosoft", true},
		{"a letter doubled", "Googgle", true},
		{"one word among others", "Update for Micr0soft 365", true},
		{"a typing error in a short brand is not looked for", "Zoon", false},
		{"a number behind the brand is a version", "Dropbox2", false},
		{"an unrelated name", "Contoso Payroll", false},
		{"an empty name", "", false},
		{"a name of separators", " - / - ", false},
		{"a name in another script", "Зарплата", false},
	}
	twins := newConfusables()
	var brands []brand
	for _, b := range []string{"Microsoft", "Microsoft Teams", "Salesforce", "Workday", "Adobe", "Dropbox", "Google", "Zoom"} {
		brands = append(brands, newBrand(twins, b, forever))
	}
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			if got := lookalike(twins, brands, x.name, 0); got != x.want {
				t.Errorf("lookalike(%q) = %v, want %v", x.name, got, x.want)
			}
		})
	}
}

func TestMixedScript(t *testing.T) {
	cases := []struct {
		sentence, text string
		want           bool
	}{
		{"Latin with one Cyrillic letter", "Pаyroll", true},
		{"Greek inside Latin", "Gοogle", true},
		{"Cyrillic beside Latin, in words of their own", "Payroll Зарплата", false},
		{"Japanese mixes by nature", "日本のOfficeツール", false},
		{"a micro sign before Latin", "µTorrent", false},
		{"Latin with accents and digits", "Ünïcode2", false},
	}
	for _, x := range cases {
		t.Run(x.sentence, func(t *testing.T) {
			if got := mixedScript(x.text); got != x.want {
				t.Errorf("mixedScript(%q) = %v, want %v", x.text, got, x.want)
			}
		})
	}
}

func TestEveryRowOfTheConfusablesNamesAnASCIICharacter(t *testing.T) {
	for from, to := range newConfusables().to {
		if to < 'a' || to > 'z' {
			t.Errorf("%q maps to %q, want a letter from a to z", from, to)
		}
		if from == to {
			t.Errorf("%q maps to itself", from)
		}
	}
}

func FuzzSimilarityIsTotal(f *testing.F) {
	for _, s := range []string{"Micr0soft", "Мicrosoft", "\xff\xfe", "ﷺﷺﷺﷺ", strings.Repeat("rn", 300), strings.Repeat("a ", 300)} {
		f.Add(s)
	}
	twins := newConfusables()
	brands := []brand{newBrand(twins, "Microsoft", forever), newBrand(twins, "Office 365", forever)}
	f.Fuzz(func(t *testing.T, name string) {
		lookalike(twins, brands, name, 0)
		mixedScript(name)
		if lookalike(twins, []brand{newBrand(twins, name, forever)}, name, 0) && utf8.RuneCountInString(name) < maxName {
			t.Errorf("%q imitates itself", name)
		}
	})
}

func FuzzFoldingAgreesWithEqualFold(f *testing.F) {
	f.Add("Straße", "STRASSE")
	f.Add("K", "k")
	f.Add("ſ", "S")
	f.Add("İ", "i")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !utf8.ValidString(a) || !utf8.ValidString(b) {
			t.Skip("bytes that are no text")
		}
		equal := strings.EqualFold(a, b)
		if got := foldString(a) == foldString(b); got != equal {
			t.Errorf("folded forms of %q and %q equal: %v, EqualFold says %v", a, b, got, equal)
		}
		if got := prefixFold(a, b) == len(a); got != equal {
			t.Errorf("prefixFold(%q, %q) covers all: %v, EqualFold says %v", a, b, got, equal)
		}
		if foldString(foldString(a)) != foldString(a) {
			t.Errorf("folding %q twice differs from folding once", a)
		}
		if equal && (!hasFold(a, b) || !suffixFold(a, b) || !globFold(a, b) && !strings.ContainsAny(a, "?*")) {
			t.Errorf("%q and %q are equal but not part, suffix or glob of each other", a, b)
		}
	})
}

func TestGlob(t *testing.T) {
	cases := []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"?", "ä", true},
		{"a*b*c", "aXXbYYc", true},
		{"a*b*c", "aXXbYY", false},
		{"Mail.*", "mail.ReadWrite", true},
		{"Mail.*", "Mail", false},
		{"*.All", "Files.Read.All", true},
		{"*a*a*a*a*a*a*a*a*b", strings.Repeat("a", 5000), false},
	}
	for _, x := range cases {
		if got := globFold(x.pattern, x.text); got != x.want {
			t.Errorf("glob %q of %.20q = %v, want %v", x.pattern, x.text, got, x.want)
		}
	}
}

// TestGenuineNamesAreNotTakenForImitations runs the shipped brands over the
// names of several thousand apps of the provider itself.
func TestGenuineNamesAreNotTakenForImitations(t *testing.T) {
	raw := servicetest.Corpus(t, "merill-MicrosoftApps.json")
	var apps []struct{ AppDisplayName string }
	if err := json.Unmarshal(raw, &apps); err != nil {
		t.Fatal(err)
	}
	lists, err := os.ReadFile("../../rules/data/lists.hcl")
	if err != nil {
		t.Fatal(err)
	}
	c := newChecker(time.UTC)
	p := pack{c: c}
	p.file(event.RulesFile{Path: "lists.hcl", Text: lists})
	p.readLists()
	var brands []brand
	for _, b := range c.lists["brands"].texts {
		brands = append(brands, newBrand(c.twins, b, forever))
	}
	if len(apps) < 1000 || len(brands) < 20 {
		t.Fatalf("%d apps and %d brands", len(apps), len(brands))
	}
	for _, a := range apps {
		if lookalike(c.twins, brands, a.AppDisplayName, 0) || mixedScript(a.AppDisplayName) {
			t.Errorf("%q is taken for an imitation", a.AppDisplayName)
		}
	}
}
