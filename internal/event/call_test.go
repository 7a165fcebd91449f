package event

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestDistinctIsExactAtFirstAndCloseLater(t *testing.T) {
	var d Distinct
	d.Add("")
	for i := range maxFew {
		d.Add(fmt.Sprint("User-", i))
		d.Add(fmt.Sprint("uSER-", i))
		if n, exact := d.Count(); n != int64(i)+1 || !exact {
			t.Fatalf("%d values, exact %t, want %d", n, exact, i+1)
		}
	}
	for i := maxFew; i < 100_000; i++ {
		d.Add(fmt.Sprint("user-", i))
		if i+1 == 100 || i+1 == 1000 || i+1 == 10_000 || i+1 == 100_000 {
			n, exact := d.Count()
			if off := float64(n)/float64(i+1) - 1; exact || off > 0.2 || off < -0.2 {
				t.Errorf("%d values count as %d, exact %t", i+1, n, exact)
			}
		}
	}
}

// Whatever the order and the parts in which values come, the result is the same.
func TestDistinctMergesAnyParts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.StringN(0, 3, -1), 0, 60).Draw(t, "values")
		parts := make([]Distinct, rapid.IntRange(1, 4).Draw(t, "parts"))
		var whole Distinct
		for _, v := range values {
			whole.Add(v)
			parts[rapid.IntRange(0, len(parts)-1).Draw(t, "part")].Add(v)
		}
		var merged Distinct
		for _, i := range rand.Perm(len(parts)) {
			before := kept(t, parts[i])
			merged.Merge(&parts[i])
			if !bytes.Equal(before, kept(t, parts[i])) {
				t.Fatal("what was merged changed")
			}
		}
		if !bytes.Equal(kept(t, whole), kept(t, merged)) {
			t.Fatalf("%+v, merged %+v", whole, merged)
		}
		set := map[string]bool{}
		for _, v := range values {
			if v != "" {
				set[strings.ToLower(v)] = true
			}
		}
		if n, exact := whole.Count(); exact && n > int64(len(set)) || exact != (whole.Registers == nil) {
			t.Fatalf("%d values of %d, exact %t", n, len(set), exact)
		}
	})
}

// kept is d as it is kept.
func kept(t interface{ Fatal(...any) }, d Distinct) []byte {
	b := AppendFrame(nil, &Frame{Rollups: []Rollup{{Users: d}}})
	f, err := DecodeFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(d, f.Rollups[0].Users); diff != "" {
		t.Fatal(diff)
	}
	return b
}

func TestARollupAddsUp(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 4, 59, 0, time.UTC)
	e := Event{Time: at, App: App{AppID: "a"}, Actor: Actor{Type: TypeUser, ID: "u1"}, Call: &Call{Workload: "exchange", Endpoint: "me/messages", Status: 429, Bytes: 10, BytesKnown: true}}
	k := e.RollupKey()
	if want := (RollupKey{Minute: at.Truncate(time.Minute).Unix() / 60, App: "a", Workload: "exchange", Endpoint: "me/messages", Status: 4}); k != want {
		t.Fatalf("key %+v", k)
	}
	r := Rollup{Status: k.Status}
	r.Add(&e)
	e.Call.BytesKnown, e.Actor = false, Actor{Type: TypeApp, ID: "sp"}
	r.Add(&e)
	if n, _ := r.Users.Count(); r.Calls != 2 || r.Errors() != 2 || r.Bytes != 10 || r.Sized != 1 || n != 1 {
		t.Errorf("%+v, %d users", r, n)
	}
	for status, want := range map[int]int8{0: 0, 99: 0, 100: 1, 204: 2, 404: 4, 599: 5, 600: 0, -1: 0} {
		if got := (&Call{Status: status}).StatusClass(); got != want {
			t.Errorf("class of %d is %d", status, got)
		}
	}
	later := k
	later.Minute++
	other := k
	other.Status = 5
	keys := []RollupKey{later, other, k}
	slices.SortFunc(keys, RollupKey.Compare)
	if !slices.Equal(keys, []RollupKey{k, other, later}) {
		t.Errorf("order %+v", keys)
	}
}

// What this release writes is read by every later one: these bytes do not change.
func TestBytesOfCallsStay(t *testing.T) {
	f := &Frame{
		Kind:    FramePage,
		Events:  []Event{{Class: ClassCall, Call: &Call{Method: "GET", Workload: "exchange", Endpoint: "me/messages", URI: "https://x/v1.0/me/messages", APIVersion: "v1.0", Status: 200, Bytes: 512, BytesKnown: true, Duration: time.Second, Permissions: []string{"Mail.Read"}}}},
		Rollups: []Rollup{{Minute: time.Unix(60, 0).UTC(), App: "a", Workload: "directory", Endpoint: "users", Status: 2, Calls: 3, Bytes: 7, Sized: 2, Users: Distinct{Few: []uint64{1, 2}}}},
	}
	const want = "080232603a0463616c6c9a02570a03474554120865786368616e67651a0b6d652f6d65737361676573221a68747470733a2f2f782f76312e302f6d652f6d65737361676573" +
		"2a0476312e3030900338800840014880a8d6b90752094d61696c2e526561647a350a0208781201611a096469726563746f72792205757365727328043003380e40024a120a1001000000000000000200000000000000"
	b := AppendFrame(nil, f)
	if got := hex.EncodeToString(b); got != want {
		t.Errorf("bytes %s", got)
	}
	got, err := DecodeFrame(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(f, got); diff != "" {
		t.Error(diff)
	}
}

func TestASketchOfAnotherSizeIsRefused(t *testing.T) {
	for _, d := range [][]byte{{0x12, 1, 7}, {0x0a, 3, 1, 2, 3}} {
		b := append([]byte{0x7a, byte(2 + len(d)), 0x4a, byte(len(d))}, d...)
		if f, err := DecodeFrame(b); err == nil {
			t.Errorf("decoded %x as %+v", b, f.Rollups)
		}
	}
}

// An event grows by a pointer for its call and no more: most events have none.
func TestACallCostsOtherEventsAPointer(t *testing.T) {
	f, _ := reflect.TypeFor[Event]().FieldByName("Call")
	if f.Type.Kind() != reflect.Pointer {
		t.Errorf("a call is a %s", f.Type.Kind())
	}
}
