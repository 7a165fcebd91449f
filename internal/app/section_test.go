package app

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestSections(t *testing.T) {
	long := strings.Repeat("0123456789", 30_000)
	var b bytes.Buffer
	for _, text := range []string{"", "short", long} {
		if err := writeText(&b, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	nested := func(w io.Writer) error {
		return errors.Join(writeText(w, []byte(long)), writeText(w, []byte("inner")))
	}
	if err := writeSection(&b, nested); err != nil {
		t.Fatal(err)
	}
	whole := bytes.Clone(b.Bytes())
	t.Run("what was written is read", func(t *testing.T) {
		r := bytes.NewReader(whole)
		for _, want := range []string{"", "short", long} {
			if got, err := readText(r); err != nil || string(got) != want {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
			}
		}
		err := readSection(r, func(r io.Reader) error {
			_, first := readText(r)
			got, err := readText(r)
			if string(got) != "inner" {
				t.Errorf("inner section is %q", got)
			}
			return errors.Join(first, err)
		})
		if err != nil || r.Len() > 0 {
			t.Errorf("%d bytes are left: %v", r.Len(), err)
		}
	})
	t.Run("what a reader leaves is skipped", func(t *testing.T) {
		r := bytes.NewReader(whole)
		for range 4 {
			if err := readSection(r, func(io.Reader) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if r.Len() > 0 {
			t.Errorf("%d bytes are left", r.Len())
		}
	})
	t.Run("every cut is an error", func(t *testing.T) {
		for _, n := range []int{0, 3, 4, 7, 10, 20, 70_000, len(whole) - 1} {
			r := bytes.NewReader(whole[:n])
			var err error
			for range 4 {
				if err = readSection(r, func(io.Reader) error { return nil }); err != nil {
					break
				}
			}
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut at %d: %v", n, err)
			}
		}
	})
	t.Run("a block longer than any is an error", func(t *testing.T) {
		if _, err := readText(bytes.NewReader([]byte{255, 255, 255, 255, 0})); err == nil {
			t.Error("no error")
		}
	})
}
