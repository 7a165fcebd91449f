package stream

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/ingest/sourcetest"
)

// logs is a directory that something writes to, and a source that reads it.
type logs struct {
	t      *testing.T
	dir    string
	s      *Files
	now    time.Time
	cursor []byte
	got    map[string]int
	gaps   []event.Gap
	bad    int
}

func newLogs(t *testing.T, pattern string, change ...func(*FileConfig)) *logs {
	l := &logs{t: t, dir: t.TempDir(), now: time.Now(), got: map[string]int{}}
	c := FileConfig{TenantID: testTenant, Paths: []string{filepath.Join(l.dir, pattern)}}
	for _, f := range change {
		f(&c)
	}
	o := testOptions()
	o.Now = func() time.Time { return l.now }
	var err error
	if l.s, err = NewFiles(c, o); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *logs) path(name string) string { return filepath.Join(l.dir, name) }

func (l *logs) add(name, text string) {
	l.t.Helper()
	f, err := os.OpenFile(l.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		l.t.Fatal(err)
	}
}

// lines are records of some ids, one to a line, each long enough that a file is known
// by its beginning.
func lines(ids ...string) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(strings.Replace(record(id, epoch()), "{", `{"filling":"`+strings.Repeat(id+"-", 400)+`",`, 1) + "\n")
	}
	return b.String()
}

func (l *logs) rename(from, to string) {
	l.t.Helper()
	if err := os.Rename(l.path(from), l.path(to)); err != nil {
		l.t.Fatal(err)
	}
}

// read drains the source.
func (l *logs) read() {
	l.t.Helper()
	ids, pages, cursor := drain(l.t, l.s, l.cursor)
	l.cursor = cursor
	for _, id := range ids {
		l.got[id]++
	}
	for _, p := range pages {
		l.gaps = append(l.gaps, p.Gaps...)
		l.bad += len(p.Quarantined)
	}
}

// want asserts that each id was read once, and no other.
func (l *logs) want(ids ...string) {
	l.t.Helper()
	for _, id := range ids {
		if l.got[id] != 1 {
			l.t.Errorf("record %s was read %d times", id, l.got[id])
		}
	}
	if len(l.got) != len(ids) || l.bad > 0 || len(l.gaps) > 0 {
		l.t.Errorf("read %v, %d refused, gaps %v", l.got, l.bad, l.gaps)
	}
}

func TestFileFollows(t *testing.T) {
	l := newLogs(t, "*.log")
	l.add("a.log", lines("1", "2"))
	l.read()
	l.want("1", "2")
	l.add("a.log", lines("3")+`{"id":"4","ti`)
	l.read()
	l.want("1", "2", "3")
	l.add("a.log", `me":"2026-05-04T03:02:01Z"}`)
	l.read()
	l.want("1", "2", "3") // the line may not be whole
	l.add("a.log", "\n")
	l.add("b.log", lines("5"))
	l.read()
	l.want("1", "2", "3", "4", "5")
}

func TestFileLastLineWithoutAnEnd(t *testing.T) {
	l := newLogs(t, "*.log")
	l.add("a.log", record("1", epoch()))
	l.read()
	l.want()
	l.now = l.now.Add(time.Minute)
	l.read()
	l.want("1")
}

func TestFileRotation(t *testing.T) {
	compress := func(l *logs, from, to string) {
		text, err := os.ReadFile(l.path(from))
		if err != nil {
			t.Fatal(err)
		}
		l.add(to, zipped(string(text)))
		if err := os.Remove(l.path(from)); err != nil {
			t.Fatal(err)
		}
	}
	copyTruncate := func(l *logs, to string) {
		text, err := os.ReadFile(l.path("app.log"))
		if err != nil {
			t.Fatal(err)
		}
		l.add(to, string(text))
		if err := os.Truncate(l.path("app.log"), 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]struct {
		pattern string
		rotate  func(*logs)
	}{
		"renamed within the pattern":         {"app.log*", func(l *logs) { l.rename("app.log", "app.log.1") }},
		"renamed out of the pattern":         {"app.log", func(l *logs) { l.rename("app.log", "app.log.1") }},
		"renamed before the extension":       {"app.log", func(l *logs) { l.rename("app.log", "app-20260504.log") }},
		"copied and cut, within the pattern": {"app.log*", func(l *logs) { copyTruncate(l, "app.log.1") }},
		"copied and cut, out of the pattern": {"app.log", func(l *logs) { copyTruncate(l, "app.log.1") }},
		"compressed within the pattern":      {"app.log*", func(l *logs) { compress(l, "app.log", "app.log.1.gz") }},
		"compressed out of the pattern":      {"app.log", func(l *logs) { compress(l, "app.log", "app.log.1.gz") }},
		"renamed, then compressed":           {"app.log*", func(l *logs) { l.rename("app.log", "app.log.1"); compress(l, "app.log.1", "app.log.2.gz") }},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogs(t, x.pattern)
			l.add("app.log", lines("1", "2"))
			l.read()
			l.add("app.log", lines("3")) // not read before the rotation
			x.rotate(l)
			l.add("app.log", lines("4"))
			l.read()
			l.want("1", "2", "3", "4")
			l.add("app.log", lines("5"))
			l.now = l.now.Add(time.Hour)
			l.read()
			l.read()
			l.want("1", "2", "3", "4", "5")
		})
	}
}

// zipped is a text as gzip writes it.
func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, text)
	_ = z.Close()
	return b.String()
}

// TestFileCopiesCountOnce: whenever the source looks while rotation copies or compresses
// a file, each record comes once.
func TestFileCopiesCountOnce(t *testing.T) {
	all := lines("1", "2", "3")
	cut := func(l *logs) {
		if err := os.Truncate(l.path("app.log"), 0); err != nil {
			l.t.Fatal(err)
		}
	}
	remove := func(l *logs) {
		if err := os.Remove(l.path("app.log")); err != nil {
			l.t.Fatal(err)
		}
	}
	for name, x := range map[string]struct {
		to, copied string
		end        func(*logs)
	}{
		"copied, then cut":         {"app.log.1", all, cut},
		"compressed, then removed": {"app.log.1.gz", zipped(all), remove},
	} {
		for at := range 4 {
			t.Run(fmt.Sprint(name, ", read before step ", at), func(t *testing.T) {
				l := newLogs(t, "app.log*")
				l.add("app.log", lines("1"))
				l.read()
				l.add("app.log", lines("2", "3"))
				half := len(x.copied) / 2
				for i, step := range []func(){
					func() { l.add(x.to, x.copied[:half]) },
					func() { l.add(x.to, x.copied[half:]) },
					func() { x.end(l) },
					func() { l.add("app.log", lines("4")) },
				} {
					if i == at {
						l.read()
						l.read()
					}
					step()
				}
				l.read()
				l.want("1", "2", "3", "4")
				l.now = l.now.Add(time.Hour)
				l.read()
				l.want("1", "2", "3", "4")
			})
		}
	}
}

// TestFileFirstSeenWithItsCopy: also where neither is known yet.
func TestFileFirstSeenWithItsCopy(t *testing.T) {
	for name, copied := range map[string]string{"whole": lines("1", "2"), "half": lines("1"), "compressed": zipped(lines("1", "2"))} {
		t.Run(name, func(t *testing.T) {
			l := newLogs(t, "app.log*")
			l.add("app.log.1", copied)
			l.add("app.log", lines("1", "2"))
			l.now = l.now.Add(time.Hour)
			l.read()
			l.want("1", "2")
			l.add("app.log.1", lines("9")) // it is a file of its own after all
			if name == "half" {
				l.read()
				if l.got["9"] != 1 {
					t.Errorf("read %v", l.got)
				}
			}
		})
	}
}

// TestFileCompressedInPart: one that is still written is read as far as it goes, and
// goes on; one that stays damaged is a gap, once, and the source goes on without errors.
func TestFileCompressedInPart(t *testing.T) {
	text := zipped(lines("1", "2", "3"))
	for name, first := range map[string]int{"without text": 5, "with some": len(text) - 12} {
		t.Run(name+", which goes on", func(t *testing.T) {
			l := newLogs(t, "*")
			l.add("x.gz", text[:first])
			l.read()
			l.read()
			l.add("x.gz", text[first:])
			l.read()
			l.want("1", "2", "3")
		})
		t.Run(name+", which stays so", func(t *testing.T) {
			l := newLogs(t, "*")
			l.add("x.gz", text[:first])
			l.add("y.log", lines("4"))
			l.now = l.now.Add(time.Hour)
			for range 3 {
				l.read()
			}
			if len(l.gaps) != 1 || !strings.Contains(l.gaps[0].Reason, "x.gz is damaged") || l.got["4"] != 1 {
				t.Errorf("gaps %v, read %v", l.gaps, l.got)
			}
		})
	}
}

// TestFileCompressedIsReadOnce: pages of one file do not begin from its start again.
func TestFileCompressedIsReadOnce(t *testing.T) {
	l := newLogs(t, "*")
	var ids []string
	for i := range 400 {
		ids = append(ids, fmt.Sprint("r", i))
	}
	text := zipped(lines(ids...))
	l.add("x.gz", text)
	read := 0
	l.s.maxBytes = 1
	l.s.open = func(path string) (io.ReadSeekCloser, error) {
		f, err := os.Open(path)
		return counted{f, &read}, err
	}
	l.read()
	l.want(ids...)
	if most := len(text) + 410*8192; read > most { // each look takes its beginning
		t.Errorf("%d bytes were read of a file of %d", read, len(text))
	}
	l.s.Close()
}

type counted struct {
	io.ReadSeekCloser
	n *int
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadSeekCloser.Read(p)
	*c.n += n
	return n, err
}

func TestFileThatGoesAway(t *testing.T) {
	l := newLogs(t, "*.log")
	l.s.maxBytes = 1
	l.add("a.log", lines("1", "2"))
	p, err := l.s.Read(t.Context(), nil)
	if err != nil || len(p.Events) != 1 {
		t.Fatalf("%d events, error %v", len(p.Events), err)
	}
	if err := os.Remove(l.path("a.log")); err != nil {
		t.Fatal(err)
	}
	l.cursor = p.Cursor
	l.read()
	if len(l.gaps) != 1 || !strings.Contains(l.gaps[0].Reason, "a.log went away when") {
		t.Errorf("gaps %v", l.gaps)
	}
}

func TestFileShapes(t *testing.T) {
	one := "{\n  \"id\": \"1\",\n  \"time\": \"2026-05-04T03:02:01Z\"\n}\n"
	for name, x := range map[string]struct {
		text string
		want []string
		bad  int
	}{
		"lines":                      {lines("1", "2"), []string{"1", "2"}, 0},
		"envelopes, one to a line":   {envelope(record("1", epoch()), record("2", epoch())) + "\r\n" + envelope(record("3", epoch())) + "\r\n", []string{"1", "2", "3"}, 0},
		"a document":                 {one, []string{"1"}, 0},
		"compressed lines":           {zipped(lines("1", "2")), []string{"1", "2"}, 0},
		"a broken first line":        {"{\"id\":\"0\",\n" + record("1", epoch()) + "\n", []string{"1"}, 1},
		"a broken line":              {record("1", epoch()) + "\nbroken\n\n" + record("2", epoch()) + "\n", []string{"1", "2"}, 1},
		"one envelope without lines": {envelope(record("1", epoch()), record("2", epoch())), []string{"1", "2"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLogs(t, "*")
			l.add("x", x.text)
			l.now = l.now.Add(time.Minute)
			l.read()
			bad := l.bad
			l.bad = 0
			l.want(x.want...)
			if bad != x.bad {
				t.Errorf("%d refused", bad)
			}
		})
	}
}

func TestFileOnce(t *testing.T) {
	l := newLogs(t, "*", func(c *FileConfig) { c.Once = true })
	l.add("x", strings.TrimSuffix(lines("1", "2"), "\n"))
	l.read()
	l.want("1", "2")
}

func TestFileThatMayNotBeRead(t *testing.T) {
	l := newLogs(t, "*")
	l.add("x", lines("1"))
	l.s.open = func(path string) (io.ReadSeekCloser, error) {
		return nil, &os.PathError{Op: "open", Path: path, Err: os.ErrPermission}
	}
	_, err := l.s.Read(t.Context(), nil)
	assertTrouble(t, err, fault.Auth, "permission denied", "let the user that appgovd runs as read the file")
}

// bent is a file whose content comes as how says.
type bent struct {
	io.ReadSeekCloser
	how sourcetest.Break
}

func (b bent) Read(p []byte) (int, error) {
	if b.how == sourcetest.Truncated {
		n, _ := b.ReadSeekCloser.Read(p[:min(len(p), 10)])
		return n, io.ErrUnexpectedEOF
	}
	return 0, iotest.ErrTimeout
}

func TestFileConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		l := newLogs(t, "*.log")
		how := sourcetest.None
		var want []string
		for i := range 12 {
			id := fmt.Sprintf("r%02d", i)
			l.add(fmt.Sprintf("%d.log", i%3), lines(id))
			want = append(want, id)
		}
		slices.Sort(want)
		return sourcetest.World{
			New: func(t *testing.T) ingest.Source {
				s, err := NewFiles(l.s.cfg, l.s.o)
				if err != nil {
					t.Fatal(err)
				}
				s.maxEvents = 2
				s.open = func(path string) (io.ReadSeekCloser, error) {
					f, err := os.Open(path)
					if how == sourcetest.None || err != nil {
						return f, err
					}
					return bent{f, how}, nil
				}
				return s
			},
			Break: func(b sourcetest.Break) { how = b },
			Want:  want,
		}
	})
}
