package event_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/event"
)

func content(key byte, record []byte) (id event.ID) {
	event.NewHasher([16]byte{key}).Content(&id, record)
	return id
}

func TestHasherTellsContentsAndKeysApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SliceOf(rapid.Byte()).Draw(t, "record")
		if content(1, record) != content(1, append([]byte(nil), record...)) {
			t.Error("one record has two hashes")
		}
		if content(1, record) == content(2, record) {
			t.Error("two keys give one hash")
		}
		if content(1, record) == content(1, append(record, 0)) {
			t.Error("a byte more is not seen")
		}
		if n := len(record); n > 0 {
			i := rapid.IntRange(0, n-1).Draw(t, "at")
			other := append([]byte(nil), record...)
			other[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			if content(1, record) == content(1, other) {
				t.Error("a flipped bit is not seen")
			}
		}
	})
}

func TestHasherOfOneKeyIsTheSameForEver(t *testing.T) {
	if got, want := content(7, []byte(`{"id":"1"}`)).String(), "648bec7e8d89677d6604fd18905b3b3f"; got != want {
		t.Errorf("%s, want %s: every record of a window would be read as a new version", got, want)
	}
}

// A process that is held to FIPS 140 has no GMAC with a nonce of ours.
func TestHasherWorksUnderFIPS140(t *testing.T) {
	if os.Getenv("GODEBUG") == "fips140=only" {
		fmt.Println("hash", content(7, []byte("x")) == event.HashContent([]byte("x")))
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "GODEBUG=fips140=only")
	out, err := cmd.CombinedOutput()
	if err != nil || string(out[:min(10, len(out))]) != "hash true\n" {
		t.Errorf("%v: %s", err, out)
	}
}

func BenchmarkContent(b *testing.B) {
	record := make([]byte, 2600)
	b.SetBytes(int64(len(record)))
	b.Run("keyed", func(b *testing.B) {
		h, id := event.NewHasher([16]byte{1}), new(event.ID)
		b.ReportAllocs()
		for b.Loop() {
			h.Content(id, record)
		}
	})
	b.Run("sha256", func(b *testing.B) {
		for b.Loop() {
			event.HashContent(record)
		}
	})
}
