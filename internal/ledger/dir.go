package ledger

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// openDir makes a directory if need be, durably, and refuses one that somebody else
// could swap or change: reached over a link that is not root's, of another owner, or
// writable by others.
func openDir(f FS, dir string) error {
	if _, real := f.(osFS); !real {
		return makeDir(f, dir)
	}
	if err := checkPath(dir); err != nil {
		return err
	}
	at, err := filepath.EvalSymlinks(dir)
	if errors.Is(err, fs.ErrNotExist) {
		at = dir
	} else if err != nil {
		return err
	}
	if err := makeDir(f, at); err != nil {
		return err
	}
	return checkOwner(dir)
}

// makeDir makes a directory and those above it, and their names durable: also that
// of one that a process made which was killed then.
func makeDir(f FS, dir string) error {
	parent := above(dir)
	err := f.Mkdir(dir)
	if errors.Is(err, fs.ErrNotExist) && dir != parent {
		if err = makeDir(f, parent); err == nil {
			err = f.Mkdir(dir)
		}
	}
	if err != nil {
		return err
	}
	err = f.SyncDir(parent)
	if errors.Is(err, fs.ErrPermission) { // nobody but its owner can read it, as below systemd's DynamicUser
		err = f.SyncDir(dir) // takes the name along where there is a journal
	}
	return err
}

// above is where dir lies. It takes no ".." away: the part before may be a link.
func above(dir string) string {
	dir = strings.TrimRight(dir, "/")
	switch i := strings.LastIndexByte(dir, '/'); {
	case i > 0:
		return dir[:i]
	case i == 0 || dir == "":
		return "/"
	}
	return "."
}

func checkOwner(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid := ownerOf(info); uid != os.Geteuid() {
		return fmt.Errorf("%s belongs to user %d, and this is user %d: start appgovd as its owner, or chown -R it", dir, uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s can be changed by others (mode %04o): chmod 0700", dir, info.Mode().Perm())
	}
	probe := filepath.Join(dir, ".probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("%s cannot be written: %w", dir, err)
	}
	return os.Remove(probe)
}

const maxLinks = 40 // as the kernel

// checkPath follows dir part by part. A link counts only where it lies in a directory
// that root alone can change, as systemd makes one for DynamicUser. What is not there
// yet is no link. The directory that the process stands in cannot be swapped any more.
func checkPath(dir string) error {
	if dir == "." {
		return nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	at, rest, links := "/", strings.Split(abs, "/"), 0 // at has no links
	for len(rest) > 0 {
		part := filepath.Join(at, rest[0]) // also of "", "." and ".."
		info, err := os.Lstat(part)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if rest = rest[1:]; info.Mode()&fs.ModeSymlink == 0 {
			at = part
			continue
		}
		if links++; links > maxLinks {
			return fmt.Errorf("%s: too many links", dir)
		}
		if err := rootAlone(at); err != nil {
			return fmt.Errorf("%s is a link, and %w: name the directory itself", part, err)
		}
		to, err := os.Readlink(part)
		if err != nil {
			return err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return nil
}

// rootAlone is nil where nobody but root can change the directory.
func rootAlone(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if uid := ownerOf(info); uid != 0 {
		return fmt.Errorf("user %d can change %s", uid, dir)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("others can change %s (mode %04o)", dir, info.Mode().Perm())
	}
	return nil
}

func ownerOf(info fs.FileInfo) int {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(stat.Uid)
	}
	return os.Geteuid()
}
