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

// checkDir makes the state directory if need be and refuses one that somebody else
// could swap or change: reached over a link that is not root's, of another owner, or
// writable by others.
func checkDir(dir string) error {
	if err := checkPath(dir); err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open state directory: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open state directory: %s is no directory", dir)
	}
	if uid := ownerOf(info); uid != os.Geteuid() {
		return fmt.Errorf("open state directory: %s belongs to user %d, and this is user %d: start appgovd as its owner, or chown -R it", dir, uid, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("open state directory: %s can be changed by others (mode %04o): chmod 0700", dir, info.Mode().Perm())
	}
	probe := filepath.Join(dir, ".probe")
	if err := os.WriteFile(probe, nil, 0o600); err != nil {
		return fmt.Errorf("open state directory: %s cannot be written: %w", dir, err)
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
