package event

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill sets every exported field of v to a value that no other has, so that a
// field that the codec forgets or swaps is seen.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n)*1e6, int64(*n)).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), n)
		fill(v.Index(1), n)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), n)
		}
	case reflect.String:
		v.SetString(fmt.Sprint("s", *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8:
		v.SetInt(-int64(*n%100) - 1)
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(*n%200) + 1)
	default:
		panic("a field of an unknown kind: " + v.Kind().String())
	}
}

func full[T any]() *T {
	v, n := new(T), 0
	fill(reflect.ValueOf(v).Elem(), &n)
	return v
}

func roundTrip[T any](t *testing.T, v *T, enc func([]byte, *T) []byte, dec func([]byte) (*T, error)) []byte {
	t.Helper()
	b := enc(nil, v)
	got, err := dec(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, got); diff != "" {
		t.Error(diff)
	}
	if !bytes.Equal(b, enc(nil, got)) {
		t.Error("equal values have different bytes")
	}
	return b
}

func TestEveryFieldSurvives(t *testing.T) {
	f := full[Frame]()
	f.LSN, f.AlertBase = 0, 0 // kept outside the payload
	roundTrip(t, f, AppendFrame, DecodeFrame)
	roundTrip(t, full[Event](), AppendEvent, DecodeEvent)
	roundTrip(t, full[Object](), AppendObject, DecodeObject)
	roundTrip(t, full[Alert](), AppendAlert, DecodeAlert)
	roundTrip(t, full[DeadLetter](), AppendDeadLetter, DecodeDeadLetter)
}

func TestEmptyAndExtremeValuesSurvive(t *testing.T) {
	roundTrip(t, &Frame{}, AppendFrame, DecodeFrame)
	roundTrip(t, &Event{Time: time.Unix(0, 0).UTC(), Observed: time.Date(1969, 1, 1, 0, 0, 0, 1, time.UTC)}, AppendEvent, DecodeEvent)
	roundTrip(t, &Frame{Sync: &Sync{}, Rules: &RulesBlob{}, Events: []Event{{}, {}}}, AppendFrame, DecodeFrame)
	roundTrip(t, &Object{App: &AppObject{Has: 1<<63 | 1, Tags: []string{"", "x", ""}}}, AppendObject, DecodeObject)
}

func TestAFieldOfALaterVersionIsSkipped(t *testing.T) {
	b := AppendEvent(nil, full[Event]())
	later := append(append([]byte(nil), b...), 0x82, 0x7d, 3, 'n', 'e', 'w') // field 2000, bytes
	got, err := DecodeEvent(later)
	if err != nil || !bytes.Equal(AppendEvent(nil, got), b) {
		t.Errorf("decoded %v, %v", got, err)
	}
}

func TestEveryTruncationIsAnErrorOrAPrefix(t *testing.T) {
	b := AppendFrame(nil, full[Frame]())
	for i := range b {
		_, _ = DecodeFrame(b[:i])
	}
	if _, err := DecodeFrame(b[:len(b)-1]); err == nil {
		t.Error("a cut frame was accepted")
	}
}

func FuzzDecodeFrame(f *testing.F) {
	f.Add(AppendFrame(nil, full[Frame]()))
	f.Add([]byte{0x32, 0x02, 0x0a, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := DecodeFrame(b)
		if err != nil {
			return
		}
		again, err := DecodeFrame(AppendFrame(nil, v))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(AppendFrame(nil, v), AppendFrame(nil, again)) {
			t.Error("the encoding is not canonical")
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	e := full[Event]()
	e.Raw = bytes.Repeat([]byte("x"), 2700)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendEvent(dst[:0], e)
	}
}

func BenchmarkDecodeEvent(b *testing.B) {
	e := full[Event]()
	e.Raw = bytes.Repeat([]byte("x"), 2700)
	enc := AppendEvent(nil, e)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeEvent(enc); err != nil {
			b.Fatal(err)
		}
	}
}
