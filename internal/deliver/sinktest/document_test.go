package sinktest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// The parser agrees with that of the standard library where both have an opinion, and
// sees what that one lets pass.
func TestADocumentIsReadStrictly(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":{"b":["x\n\u00e9\ud83d\ude00",-1.5e+3,true,null]}}`: "",
		`0`:                       "",
		``:                        "no value",
		`{"a":1}{}`:               "more behind",
		`{"a":1} `:                "more behind",
		`{"a":1,"a":2}`:           "comes twice",
		`{"a": 1}`:                "no value",
		"{\"a\":\"x\ny\"}":        "control character",
		"{\"a\":\"x\x00y\"}":      "control character",
		"{\"a\":\"\xff\"}":        "broken UTF-8",
		`{"a":"\ud83d"}`:          "half a surrogate",
		`{"a":"\ud83dx"}`:         "half a surrogate",
		`{"a":"\x41"}`:            "an escape",
		`{"a":"\u00g0"}`:          "an escape",
		`{"a":"x`:                 "without an end",
		`{"a":"x"`:                "no comma",
		`{"a":"x",}`:              "no string",
		`[1,]`:                    "no value",
		`{"a"}`:                   "no colon",
		`01`:                      "no number",
		`-`:                       "no number",
		`1.`:                      "no fraction",
		`1e`:                      "no exponent",
		`{"a":nul}`:               "no value",
		`{"a":"x"y"}`:             "no comma",
		strings.Repeat("[", 1000): "too deep",
	} {
		var d Document
		if err := d.Read([]byte(text)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40q: %v, want %q", text, err, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOfN(rapid.SampledFrom([]string{"{", "}", "[", "]", ":", ",", `"a"`, `"b"`, `"\n"`, `"\u0000"`, "0", "-1.5e3", "true", "null", `"`, `\`, " "}), 0, 12).Draw(t, "text")
		b := []byte(strings.Join(text, ""))
		var d Document
		switch err := d.Read(b); {
		case err == nil && !json.Valid(b):
			t.Fatalf("%q is taken", b)
		case err != nil && json.Valid(b) && !strings.Contains(string(b), " ") && !strings.Contains(err.Error(), "comes twice"):
			t.Fatalf("%q: %v", b, err)
		}
	})
}

func TestADocumentSaysWhatItHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, name := rapid.String().Draw(t, "text"), rapid.StringN(1, 8, -1).Draw(t, "name")
		b, err := json.Marshal(map[string]any{"list": []any{"first", map[string]string{name: text}}, "n": 3})
		if err != nil {
			t.Fatal(err)
		}
		var d Document
		if err := d.Read(b); err != nil {
			t.Fatalf("%v: %s", err, b)
		}
		var got, hidden string
		d.Each(func(n, v string) { hidden, got = n, v }, "list", "1")
		first, _ := d.Text("list", "0")
		if want := string([]rune(text)); got != want || hidden != string([]rune(name)) || first != "first" || d.Number("n") != "3" || d.Len("list") != 2 || d.Len("n") != -1 {
			t.Fatalf("%q became %q (%s)", want, got, b)
		}
		if _, ok := d.Text("list", "2"); ok {
			t.Fatal("found what is not there")
		}
	})
}

// The rules by which a fuzz target compares find what they are for.
func TestComparisonsFindADifference(t *testing.T) {
	oneLine := func(r rune) rune {
		if r == '\n' {
			return ' '
		}
		return r
	}
	for _, tt := range []struct {
		got, text string
		most      int
		ok        bool
	}{
		{"a b", "a\nb", 9, true}, {"a\ufffdb", "a\xffb", 9, true}, {"éé", "ééé", 5, true}, {"", "", 9, true},
		{"a\nb", "a\nb", 9, false}, {"ab", "a\nb", 9, false}, {"a bc", "a\nb", 9, false}, {"a", "a\nb", 9, false}, {"", "ééé", 5, false}, {"ééé", "ééé", 5, false},
	} {
		if err := Same(tt.got, tt.text, tt.most, oneLine); (err == nil) != tt.ok {
			t.Errorf("Same(%q, %q, %d): %v", tt.got, tt.text, tt.most, err)
		}
	}
	for _, tt := range []struct {
		got, text string
		most      int
		ok        bool
	}{
		{"a b", " a\n\x00b\u202e", 9, true}, {"abc...", "abcdefghi", 6, true}, {"...", "...", 3, true},
		{"ac", "abc", 9, false}, {"abc", "abcdefghi", 6, false}, {"abc...", "abc", 6, false}, {"abcdefghi", "abcdefghi", 6, false}, {"abx...", "abcdefghi", 6, false}, {"abc", "", 9, false},
	} {
		if err := Shown(tt.got, tt.text, tt.most); (err == nil) != tt.ok {
			t.Errorf("Shown(%q, %q, %d): %v", tt.got, tt.text, tt.most, err)
		}
	}
}

// What a specimen makes is hostile everywhere, and as long as is asked for.
func TestASpecimenIsHostile(t *testing.T) {
	s, many := newSpecimen(), 0
	for i := range 4096 {
		if a := s.of(fmt.Sprint("é", i), "x", "", 0); len(a.Title) > 64<<10 && len(a.Summary) > 64<<10 && utf8.ValidString(a.Title) {
			many++
		}
	}
	if many < 1 || many > 16 {
		t.Errorf("%d of 4096 texts are long", many)
	}
	a := s.of("n\n", "t\n", "ip", 0x75)
	if a.Title != "n\n" || a.Group == nil || a.Group.Labels[0].Value != "t\n" || a.Actor.Type != "app" || a.State != "updated" || a.Sequence != 1 || a.DeliveryID == s.deliveries[0] {
		t.Errorf("%+v", a)
	}
	if e := s.ofEvent("n\n", "t\n", "ip", []byte("{}"), 1).Event; e.App.Name != "n\n" || e.Class != "signin" || string(e.Raw) != "{}" {
		t.Errorf("%+v", e)
	}
}
