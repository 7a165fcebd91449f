package route

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/v1 anew: only while no release has written that version")

// What version 1 wrote is read for ever.
func TestVersionOneIsRead(t *testing.T) {
	ops, states := seeds(t)
	d := busy(t)
	files := map[string][]byte{"join": ops[0], "told": ops[1], "silence": ops[2], "expire": ops[3], "board": states[0], "silences": d.s.AppendState(nil)}
	for name, now := range files {
		file := filepath.Join("testdata", "v1", name+".bin")
		if *update {
			if err := os.WriteFile(file, now, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := reread(t, name, stored); !bytes.Equal(got, stored) {
			t.Errorf("%s: other bytes come back", name)
		}
	}
}

func reread(t *testing.T, name string, b []byte) []byte {
	d := newDesk(t, notify(nil))
	var err error
	switch name {
	case "board":
		if err = d.b.Restore(b); err == nil && d.b.Status(d.now).Groups != 7 {
			t.Errorf("%+v", d.b.Status(d.now))
		}
		b = d.b.AppendState(nil)
	case "silences":
		if err = d.s.Restore(b); err == nil && len(d.s.List(d.now)) != 1 {
			t.Errorf("%+v", d.s.List(d.now))
		}
		b = d.s.AppendState(nil)
	default:
		var op *Op
		if op, err = DecodeOp(b); err == nil {
			b = op.Append(nil)
		}
	}
	if err != nil {
		t.Error(err)
	}
	return b
}
