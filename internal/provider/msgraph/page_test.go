package msgraph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

func TestAPageOfMoreElementsThanAnyIsTooLarge(t *testing.T) {
	n := 0
	_, err := decodePage(strings.NewReader(`{"value":[1`+strings.Repeat(",1", maxElements)+`]}`), func([]byte) { n++ })
	if !tooLarge(err) || n > maxElements {
		t.Errorf("%d elements were handed on: %v", n, err)
	}
	if _, err := decodePage(strings.NewReader(`{"value":[1`+strings.Repeat(",1", maxElements-1)+`]}`), func([]byte) {}); err != nil {
		t.Errorf("the largest page: %v", err)
	}
}

func TestDecodePage(t *testing.T) {
	for _, tt := range []struct {
		story, body string
		raws        []string
		links       links
		fails       string
	}{
		{"elements in order, with the link behind them", `{"@odata.context":"c","value":[{"id":1},{"id":2}],"@odata.nextLink":"n"}`, []string{`{"id":1}`, `{"id":2}`}, links{next: "n"}, ""},
		{"the link before the elements", `{"@odata.deltaLink":"d","value":[{"id":1}]}`, []string{`{"id":1}`}, links{delta: "d"}, ""},
		{"an empty page", `{"value":[],"@odata.nextLink":"n"}`, nil, links{next: "n"}, ""},
		{"elements that are no objects are handed on", `{"value":[1,"x",null,{"id":1}]}`, []string{`1`, `"x"`, `null`, `{"id":1}`}, links{}, ""},
		{"a name that stands twice in an element", `{"value":[{"a":1,"a":2}]}`, []string{`{"a":1,"a":2}`}, links{}, ""},
		{"two lists of elements", `{"value":[],"value":[]}`, nil, links{}, "two members value"},
		{"a broken character in an element", "{\"value\":[{\"a\":\"\xff\"}]}", []string{"{\"a\":\"\xff\"}"}, links{}, ""},
		{"a link that is null", `{"value":[],"@odata.nextLink":null}`, nil, links{}, ""},
		{"a body that ends in an element", `{"value":[{"id":1},{"id"`, []string{`{"id":1}`}, links{}, "unexpected EOF"},
		{"a body that ends behind an element", `{"value":[{"id":1}`, []string{`{"id":1}`}, links{}, "unexpected EOF"},
		{"a body that ends behind the elements", `{"value":[{"id":1}]`, []string{`{"id":1}`}, links{}, "unexpected EOF"},
		{"an empty body", ``, nil, links{}, "unexpected EOF"},
		{"no value", `{"error":{}}`, nil, links{}, "no member value"},
		{"something behind the end", `{"value":[]}{"value":[]}`, nil, links{}, "goes on"},
		{"an array", `[{"id":1}]`, nil, links{}, "belongs"},
		{"a value that is an object", `{"value":{}}`, nil, links{}, "belongs"},
		{"a link that is a number", `{"value":[],"@odata.nextLink":1}`, nil, links{}, "not a string"},
	} {
		t.Run(tt.story, func(t *testing.T) {
			var raws []string
			l, err := decodePage(strings.NewReader(tt.body), func(raw []byte) { raws = append(raws, string(raw)) })
			if tt.fails == "" && err != nil || tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)) {
				t.Fatalf("error %v, want %q", err, tt.fails)
			}
			if err != nil && (fault.Of(err) != fault.Transient || !pageFault(err)) {
				t.Fatalf("class %v", fault.Of(err))
			}
			if d := cmp.Diff(tt.raws, raws); d != "" || l != tt.links {
				t.Fatalf("links %+v, elements differ:\n%s", l, d)
			}
		})
	}
}

func TestBodyOverTheLimit(t *testing.T) {
	body := `{"value":[{"id":"` + strings.Repeat("x", 1000) + `"}]}`
	_, err := decodePage(outbound.LimitBody(io.NopCloser(strings.NewReader(body)), 500), func([]byte) {})
	if !tooLarge(err) || !errors.Is(err, outbound.ErrTooLarge) {
		t.Fatalf("error %v", err)
	}
}

func TestBrokenElementIsQuarantined(t *testing.T) {
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"value": []any{
			map[string]any{"id": "a", "activityDateTime": epoch()}, 7, "text", map[string]any{"id": ""}, map[string]any{"id": "b", "activityDateTime": epoch()},
		}})
	})
	p, err := c.provider(t, nil).named(t, nameAudits).Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"a", "b"}, eventIDs([]event.Page{p})); d != "" || p.Fetched != 5 {
		t.Fatalf("fetched %d, events:\n%s", p.Fetched, d)
	}
	var reasons []string
	for _, q := range p.Quarantined {
		reasons = append(reasons, q.Reason+" "+string(q.Raw))
	}
	if d := cmp.Diff([]string{"not_an_object 7", `not_an_object "text"`, `unknown_shape {"id":""}`}, reasons); d != "" {
		t.Fatal(d)
	}
}

// alertPage is a page of n alerts of about 5.7 kB each.
func alertPage(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"value":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		alert, _ := json.Marshal(map[string]any{
			"id": fmt.Sprintf("ma%08d", i), "createdDateTime": epoch().Add(time.Duration(i) * time.Second), "lastUpdateDateTime": epoch().Add(time.Duration(i) * time.Second),
			"serviceSource": "microsoftAppGovernance", "description": strings.Repeat("<a href=\"https://security.example/\">text</a>\r\n", 100),
			"evidence": []any{map[string]any{"@odata.type": "#microsoft.graph.security.oauthApplicationEvidence", "appId": testClient}},
		})
		b.Write(alert)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

// TestMemoryOfAHugePage: what stays of a page of a thousand alerts, and what its
// reading needs on the way.
func TestMemoryOfAHugePage(t *testing.T) {
	body := alertPage(1000)
	c := newCloud(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	s := c.provider(t, nil).named(t, nameAlerts)
	if _, err := s.Read(t.Context(), nil); err != nil { // token, connection, buffers
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p, err := s.Read(t.Context(), nil)
	runtime.ReadMemStats(&after)
	if err != nil || len(p.Events) != 1000 {
		t.Fatalf("%d events, error %v", len(p.Events), err)
	}
	allocated := float64(after.TotalAlloc-before.TotalAlloc) / (1 << 20)
	t.Logf("%.1f MB of body, %.1f MB allocated in all", float64(len(body))/(1<<20), allocated)
	if allocated > 75 {
		t.Fatalf("%.1f MB allocated", allocated)
	}
}

func FuzzDecodePage(f *testing.F) {
	for _, s := range []string{`{"value":[{"id":1},2],"@odata.nextLink":"n"}`, `{"value":[`, `[]`, `{"@odata.deltaLink":"d","value":[]}`, "\xef\xbb\xbf{}", `{"value":[{"a":{"value":[{}]}}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n := 0
		l, err := decodePage(bytes.NewReader(body), func(raw []byte) {
			if n++; len(raw) == 0 {
				t.Fatal("an empty element")
			}
		})
		if err != nil && (l != links{} || !pageFault(err)) {
			t.Fatalf("links %+v with the error %v", l, err)
		}
		var page struct {
			Value []json.RawMessage `json:"value"`
		}
		if err == nil && json.Unmarshal(body, &page) == nil && page.Value != nil && bytes.Count(body, []byte(`value`)) == 1 && bytes.Count(body, []byte(`\u`)) == 0 && bytes.Count(bytes.ToLower(body), []byte(`value`)) == 1 && len(page.Value) != n {
			t.Fatalf("%d elements, another parser finds %d", n, len(page.Value))
		}
	})
}

func FuzzDecodeList(f *testing.F) {
	for _, s := range []string{`[{"contentId":"x"},2]`, `[`, `{}`, `[]x`, "\xef\xbb\xbf[]", `[[{}],{"a":[1]}]`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		n := 0
		l, err := decodeList(bytes.NewReader(body), func(raw []byte) {
			if n++; len(raw) == 0 {
				t.Fatal("an empty element")
			}
		})
		if l != (links{}) || err != nil && !pageFault(err) {
			t.Fatalf("links %+v, error %v", l, err)
		}
		var list []json.RawMessage
		if parsed := json.Unmarshal(body, &list); parsed == nil && list != nil && (err != nil || len(list) != n) {
			t.Fatalf("%d elements, error %v; another parser finds %d", n, err, len(list))
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add([]byte(`{"v":1,"mark":"2026-11-02T08:00:00Z","poll":{"low":"2026-11-02T08:00:00Z","high":"2026-11-02T08:00:00Z","until":"2026-11-02T08:00:00Z","level":3}}`))
	f.Add([]byte(`{"v":1,"gen":3,"full":true,"next":"https://127.0.0.1/x"}`))
	f.Add([]byte(`{"v":1,"pass":2,"resources":[{"id":"x","app":"y"}],"index":0}`))
	f.Add([]byte(`{"v":2}`))
	var c *cloud
	c = newCloud(f, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"value": []any{}, "@odata.deltaLink": c.URL + "/v1.0/d"})
	})
	p := c.provider(f, nil)
	f.Fuzz(func(t *testing.T, cursor []byte) {
		for _, name := range []string{nameAudits, nameGrants, nameAssignments} {
			page, err := p.named(t, name).Read(t.Context(), cursor)
			if err == nil && len(page.Cursor) == 0 {
				t.Fatalf("%s: a page without a cursor", name)
			}
		}
	})
}

func BenchmarkDecodePage(b *testing.B) {
	body := alertPage(1000)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodePage(bytes.NewReader(body), func([]byte) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadPage(b *testing.B) {
	body := alertPage(1000)
	c := newCloud(b, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(body)
	})
	s := c.provider(b, nil).named(b, nameAlerts)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Read(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
