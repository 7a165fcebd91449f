package ledger

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

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
	}{
		{"a directory that is not there yet", func(d string) string { return filepath.Join(d, "a", "b") }, "", false},
		{"a relative part above", func(d string) string { return d + "/x/../state" }, "", false},
		{"one that a group can write", func(d string) string { must(os.Chmod(d, 0o770)); return d }, "can be changed by others (mode 0770): chmod 0700", false},
		{"one that is a file", func(d string) string { must(os.WriteFile(d+"/f", nil, 0o600)); return d + "/f" }, "not a directory", false},
		{"segments that are a link", func(d string) string {
			must(os.Mkdir(d+"/elsewhere", 0o700))
			must(os.Symlink("elsewhere", d+"/segments"))
			return d
		}, "segments is no directory", false},
		{"a lock that is a link", func(d string) string { must(os.Symlink("/etc/passwd", d+"/LOCK")); return d }, "too many levels of symbolic links", false},
		{"a link where others can swap it", func(d string) string {
			must(os.Mkdir(d+"/real", 0o700))
			must(os.Symlink("real", d+"/link"))
			must(os.Chmod(d, 0o1777))
			return d + "/link"
		}, "link is a link, and others can change", false},
		{"a link of another user", func(d string) string {
			must(os.Mkdir(d+"/real", 0o700))
			must(os.Symlink(d+"/real", d+"/link"))
			must(os.Chown(d, 12345, 12345))
			return d + "/link"
		}, "link is a link, and user 12345 can change", true},
		{"a link of root, as systemd makes one", func(d string) string {
			must(os.MkdirAll(d+"/private/appgovd", 0o700))
			must(os.Symlink("private/appgovd", d+"/appgovd"))
			return d + "/appgovd"
		}, "", true},
		{"a link over a link of another user", func(d string) string {
			must(os.MkdirAll(d+"/user/real", 0o700))
			must(os.Symlink("real", d+"/user/link"))
			must(os.Chown(d+"/user", 12345, 12345))
			must(os.Symlink("user/link", d+"/state"))
			return d + "/state"
		}, "user/link is a link, and user 12345 can change", true},
		{"links in a circle", func(d string) string {
			must(os.Symlink("b", d+"/a"))
			must(os.Symlink("a", d+"/b"))
			return d + "/a"
		}, "too many links", true},
		{"a directory of another user", func(d string) string { must(os.Chown(d, 12345, 12345)); return d }, "belongs to user 12345, and this is user 0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root && os.Geteuid() != 0 {
				t.Skip("SKIPPED: only root can make such a directory")
			}
			l, err := Open(tt.make(t.TempDir()), Options{})
			if err == nil {
				err = l.Close()
				if tt.reason != "" {
					t.Error("it opens")
				}
			}
			if tt.reason == "" && err != nil || err != nil && !strings.Contains(err.Error(), tt.reason) {
				t.Errorf("%v, want %q", err, tt.reason)
			}
		})
	}
}
