package ledger

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every name on the way to the state directory is synced, in whatever order it was made.
func TestDirectoriesAboveAreDurable(t *testing.T) {
	for _, made := range [][]string{nil, {"/a"}, {"/a", "/a/b", "/a/b/state"}} { // by a process that was killed then
		fs := newCrashFS()
		for _, dir := range made {
			if err := fs.Mkdir(dir); err != nil {
				t.Fatal(err)
			}
		}
		if len(made) > 1 { // it was above alone that was synced
			if err := errors.Join(fs.SyncDir("/"), fs.SyncDir("/a")); err != nil {
				t.Fatal(err)
			}
		}
		l, err := Open("/a/b/state", Options{FS: fs, OverflowDir: "/srv/over"})
		if err != nil {
			t.Fatal(err)
		}
		wait, err := l.Append(modelFrame("0.1"))
		if err == nil {
			err = errors.Join(wait(t.Context()), l.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		after := fs.crash(nil)
		for _, dir := range []string{"/a", "/a/b", "/a/b/state", "/a/b/state/segments", "/srv", "/srv/over"} {
			if !after.has(dir) {
				t.Errorf("%v was there: %s is gone after a crash", made, dir)
			}
		}
		if names, _ := after.List("/a/b/state/segments"); len(names) != 1 {
			t.Errorf("%v was there: segments %v", made, names)
		}
	}
}

func TestAStateDirectoryThatSomebodyElseCanSwapIsRefused(t *testing.T) {
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name   string
		make   func(dir string) string // the state directory
		reason string                  // "" = it opens
		root   bool                    // only root can make it
		state  bool                    // of a state directory alone
	}{
		{"a directory that is not there yet", func(d string) string { return filepath.Join(d, "a", "b") }, "", false, false},
		{"a relative part above", func(d string) string { return d + "/x/../state" }, "", false, false},
		{"one that a group can write", func(d string) string { must(os.Chmod(d, 0o770)); return d }, "can be changed by others (mode 0770): chmod 0700", false, false},
		{"one that is a file", func(d string) string { must(os.WriteFile(d+"/f", nil, 0o600)); return d + "/f" }, "f is no directory", false, false},
		{"segments that are a link", func(d string) string {
			must(os.Mkdir(d+"/elsewhere", 0o700))
			must(os.Symlink("elsewhere", d+"/segments"))
			return d
		}, "segments is no directory", false, true},
		{"a lock that is a link", func(d string) string { must(os.Symlink("/etc/passwd", d+"/LOCK")); return d }, "too many levels of symbolic links", false, true},
		{"a link where others can swap it", func(d string) string {
			must(os.Mkdir(d+"/real", 0o700))
			must(os.Symlink("real", d+"/link"))
			must(os.Chmod(d, 0o1777))
			return d + "/link"
		}, "link is a link, and others can change", false, false},
		{"a link of another user", func(d string) string {
			must(os.Mkdir(d+"/real", 0o700))
			must(os.Symlink(d+"/real", d+"/link"))
			must(os.Chown(d, 12345, 12345))
			return d + "/link"
		}, "link is a link, and user 12345 can change", true, false},
		{"a link of root, as systemd makes one", func(d string) string {
			must(os.MkdirAll(d+"/private/appgovd", 0o700))
			must(os.Symlink("private/appgovd", d+"/appgovd"))
			return d + "/appgovd"
		}, "", true, false},
		{"a link over a link of another user", func(d string) string {
			must(os.MkdirAll(d+"/user/real", 0o700))
			must(os.Symlink("real", d+"/user/link"))
			must(os.Chown(d+"/user", 12345, 12345))
			must(os.Symlink("user/link", d+"/state"))
			return d + "/state"
		}, "user/link is a link, and user 12345 can change", true, false},
		{"links in a circle", func(d string) string {
			must(os.Symlink("b", d+"/a"))
			must(os.Symlink("a", d+"/b"))
			return d + "/a"
		}, "too many links", true, false},
		{"a directory of another user", func(d string) string { must(os.Chown(d, 12345, 12345)); return d }, "belongs to user 12345, and this is user 0", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("SKIPPED: only root can make such a directory")
			}
			check := func(what, dir string, o Options) {
				l, err := Open(dir, o)
				if err == nil {
					err = l.Close()
					if tt.reason != "" {
						t.Error(what + " opens")
					}
				}
				if tt.reason == "" && err != nil || err != nil && !strings.Contains(err.Error(), tt.reason) {
					t.Errorf("%s: %v, want %q", what, err, tt.reason)
				}
			}
			check("the state directory", tt.make(t.TempDir()), Options{})
			if !tt.state {
				check("the overflow directory", t.TempDir(), Options{OverflowDir: tt.make(t.TempDir())})
			}
		})
	}
}
