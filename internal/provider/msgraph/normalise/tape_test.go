package normalise

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
)

// The oracle: the canonical form by a JSON library, one map per object.

// reference is the canonical form of raw; false where it is no JSON object.
func reference(raw []byte) (jsontext.Value, bool) {
	o, ok := members(raw)
	if !ok {
		return nil, false
	}
	v := jsontext.Value(marshal(kept(o)))
	return v, v.Canonicalize(jsontext.AllowDuplicateNames(true)) == nil
}

func members(raw []byte) (map[string]jsontext.Value, bool) {
	var o map[string]jsontext.Value
	err := json.Unmarshal(raw, &o, jsontext.AllowDuplicateNames(true))
	return o, err == nil && o != nil && jsontext.Value(raw).IsValid(jsontext.AllowDuplicateNames(true))
}

func marshal(v any) []byte {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowDuplicateNames(true))
	if err != nil {
		panic(err)
	}
	return b
}

func kept(o map[string]jsontext.Value) map[string]jsontext.Value {
	var name string
	_ = json.Unmarshal(o["displayName"], &name)
	out := map[string]jsontext.Value{}
	for k, v := range o {
		value := k == "newValue" || k == "oldValue"
		if k != "hint" && k != "secretText" && !strings.HasPrefix(k, "__UDI_RequiredFields_") && (!value || !strings.EqualFold(name, "Credential")) {
			out[k] = cleaned(opened(v))
		}
	}
	return out
}

// opened is the object or the list of objects that a string carries.
func opened(v jsontext.Value) jsontext.Value {
	var s string
	if v.Kind() != '"' || json.Unmarshal(v, &s) != nil {
		return v
	}
	inner := jsontext.Value(strings.TrimSpace(s))
	if _, ok := members(inner); ok {
		return inner
	}
	var list []jsontext.Value
	if len(inner) == 0 || inner[0] != '[' || json.Unmarshal(inner, &list, jsontext.AllowDuplicateNames(true)) != nil {
		return v
	}
	objects := 0
	for _, x := range list {
		if _, ok := members(x); ok {
			objects++
		} else if x.Kind() != 'n' {
			return v
		}
	}
	if objects == 0 {
		return v
	}
	return inner
}

func cleaned(v jsontext.Value) jsontext.Value {
	if o, ok := members(v); ok {
		return marshal(kept(o))
	}
	if v.Kind() != '[' {
		return v
	}
	var list []jsontext.Value
	if json.Unmarshal(v, &list, jsontext.AllowDuplicateNames(true)) != nil {
		return v
	}
	for i := range list {
		list[i] = cleaned(list[i])
	}
	return marshal(list)
}

// agree compares the tape with the oracle: alone, and as the second of two equal
// records.
func agree(t *testing.T, raw []byte) {
	t.Helper()
	d := New(tenant)
	agreeBy(t, d, raw)
	agreeBy(t, d, raw)
}

func agreeBy(t *testing.T, d *Decoder, raw []byte) {
	t.Helper()
	if strings.Count(string(raw), "[")+strings.Count(string(raw), "{") > maxNesting {
		return
	}
	want, ok := reference(raw)
	got, err := with(d, raw, func(w *work, o object) (jsontext.Value, error) {
		return bytes.Clone(w.canonical(o)), nil
	})
	if ok != (err == nil) {
		t.Fatalf("%q: the oracle says %v, the tape %v", raw, ok, err)
	}
	if ok {
		agreeInStrings(t, d, raw)
	}
	if !ok || bytes.Equal(want, got) {
		return
	}
	if err := got.Canonicalize(jsontext.AllowDuplicateNames(true)); err != nil || !bytes.Equal(want, got) { // other letters sort by their bytes
		t.Fatalf("%q (-oracle +tape), %v:\n%s", raw, err, cmp.Diff(string(want), string(got)))
	}
}

// agreeInStrings holds that strings that lie in the canonical form are those of the
// record.
func agreeInStrings(t *testing.T, d *Decoder, raw []byte) {
	t.Helper()
	_, err := with(d, raw, func(w *work, o object) (string, error) {
		w.keep(bytes.Clone(w.canonical(o)))
		for _, x := range append([]*tape{&w.tape}, w.inner.all[:w.inner.used]...) {
			for i := range x.nodes {
				if n := &x.nodes[i]; n.kind == '"' && x.str(n) != string(x.content(n)) {
					t.Fatalf("%q: %q is %q", raw, x.content(n), x.str(n))
				}
			}
		}
		return "", nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheCanonicalFormIsThatOfALibrary(t *testing.T) {
	for _, raw := range []string{
		`{}`, ` { } `, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"a":{"b":1},"a":{"c":2}}`, `[]`, `null`, ``, `{`, `}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":1 "b":2}`, `{"a":[1,]}`,
		`{"a":[1 2]}`, `{"a":[,1]}`, `{"a":01}`, `{"a":-}`, `{"a":-0}`, `{"a":1.}`, `{"a":.5}`, `{"a":1e5}`, `{"a":1E+05}`, `{"a":1e}`, `{"a":12345678901234567890}`, `{"a":0.10}`,
		`{"a":"\u0041\n\/"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d"}`, `{"a":"\ude00"}`, `{"a":"\ud83d\u0041"}`, `{"a":"\x"}`, `{"a":"\u12"}`, "{\"a\":\"\x01\"}", "{\"a\":\"\xff\"}", "{\"a\":\"é😀\"}",
		`{"\u0061":1,"b":2,"a":3}`, `{"a":tru}`, `{"a":true,"b":false,"c":null}`, `{"a":1}x`, `{"a":1}{}`, `{"a":"` + strings.Repeat("x", 50) + `\"y"}`,
		`{"hint":"x","secretText":"y","a":{"hint":1}}`, `{"a":[{"hint":1},null,[{"secretText":2}]]}`, `{"a":"{\"hint\":1,\"b\":2}"}`, `{"a":" [{\"b\":\"{\\\"hint\\\":1}\"}] "}`, `{"a":"[1,2]"}`,
		`{"a":"[{\"b\":1},2]"}`, `{"a":["{\"hint\":1}"]}`, `{"displayName":"credential","newValue":"x","oldValue":null,"b":1}`, `{"a":[{"displayName":"Other","newValue":"x"}]}`,
		`{"__UDI_RequiredFields_x":1,"a":"\u007b\"b\":1}"}`, `{"aaaaaaaaab":1,"aaaaaaaaaa":2,"aaaaaaaa":3,"":4}`, `{"a":"{\"b\":1}x","b":"{","c":"[null]","d":"[{}]","e":"{}"}`, "{\"a\":1}\n\t",
		wholeSignIn, `{"q":1,"w":2,"e":3,"r":4,"t":5,"z":6,"u":7,"i":8,"o":9,"p":10,"a":11,"s":12,"d":13,"f":14,"g":15,"h":16,"j":17,"q":18}`,
		`{"é":1,"z":2,"😀":3,"":4}`,
	} {
		agree(t, []byte(raw))
	}
	for _, name := range slices.Concat(glob(t, "testdata/traps/*.txtar"), glob(t, "testdata/*.json")) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			agree(t, bytes.TrimSpace(line))
		}
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestADeepRecordIsRefused(t *testing.T) {
	for depth, ok := range map[int]bool{maxNesting - 1: true, maxNesting: false, 100_000: false} {
		raw := `{"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth) + `}`
		_, err := with(New(tenant), []byte(raw), func(w *work, o object) (event string, err error) {
			w.canonical(o)
			return "", nil
		})
		if (err == nil) != ok || err != nil && ReasonOf(err) != "not_json" {
			t.Errorf("%d levels: %v", depth, err)
		}
	}
}

func TestMembersAreFoundInSmallAndLargeObjects(t *testing.T) {
	for _, n := range []int{1, indexFrom - 1, indexFrom, indexTo, indexTo + 1, 5000} {
		var b strings.Builder
		b.WriteString(`{"twice":"a"`)
		for i := range n {
			b.WriteString(`,"member` + strings.Repeat("x", i%7) + string(rune('a'+i%26)) + strings.Repeat("y", i/182) + `":` + string(rune('0'+i%10)))
		}
		b.WriteString(`,"tw\u0069ce":"b"}`)
		_, err := with(New(tenant), []byte(b.String()), func(_ *work, o object) (string, error) {
			want, _ := members([]byte(b.String()))
			for name, v := range want {
				if got := string(o.get(name).raw()); got != string(v) {
					t.Errorf("%d members: %q is %s, want %s", n, name, got, v)
				}
			}
			if o.str("twice") != "b" || o.has("none") || o.has("") {
				t.Errorf("%d members: %q", n, o.str("twice"))
			}
			return "", nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	for _, prefix := range []string{"shapes", "record", "signin", "object", "alert"} {
		seeds(f, prefix)
	}
	f.Fuzz(agree)
}
