package event

import (
	"bytes"
	"errors"
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
	case reflect.Int, reflect.Int8, reflect.Int64:
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

func TestAFrameInPiecesIsTheSameFrame(t *testing.T) {
	f := full[Frame]()
	for range 300 {
		f.Events = append(f.Events, *full[Event]())
		f.Alerts = append(f.Alerts, *full[Alert]())
	}
	var got bytes.Buffer
	writes := 0
	if err := WriteFrame(writerFunc(func(p []byte) (int, error) { writes++; return got.Write(p) }), f); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), AppendFrame(nil, f)) {
		t.Error("the bytes differ")
	}
	if writes < 3 {
		t.Errorf("%d bytes came in %d pieces", got.Len(), writes)
	}
	broken := errors.New("no room")
	if err := WriteFrame(writerFunc(func([]byte) (int, error) { return 0, broken }), f); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

func TestTheAlertsOfAFrameAreReadAlone(t *testing.T) {
	f := full[Frame]()
	f.Alerts = nil
	for i := range 10 {
		a := full[Alert]()
		a.Count = i
		f.Alerts = append(f.Alerts, *a)
	}
	b := AppendFrame(nil, f)
	for _, tt := range []struct{ from, to, want int }{{0, 10, 10}, {0, 3, 3}, {3, 10, 7}, {9, 10, 1}, {4, 4, 0}, {8, 20, 2}, {20, 30, 0}} {
		var p Packed
		if err := p.Unpack(b); err != nil {
			t.Fatal(err)
		}
		got, err := p.AlertsIn(tt.from, tt.to)
		if err != nil || len(got) != tt.want {
			t.Fatalf("%d to %d: %d alerts, %v", tt.from, tt.to, len(got), err)
		}
		if tt.want > 0 {
			if diff := cmp.Diff(f.Alerts[tt.from:tt.from+tt.want], got); diff != "" {
				t.Errorf("%d to %d:\n%s", tt.from, tt.to, diff)
			}
		}
	}
	if err := new(Packed).Unpack(b[:len(b)-1]); err == nil {
		t.Error("a cut frame was accepted")
	}
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
		apart(t, b, v)
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
