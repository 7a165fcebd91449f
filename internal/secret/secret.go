// Package secret owns secrets: references to where a secret lives
// (environment, file, systemd credential), and reading files again when they
// change, so that a rotation needs no restart. A reference that is printed
// never shows a literal secret.
package secret

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Ref names where a secret lives, as written in configuration by the functions
// env("X"), file("/path") and credential("name"), which produce values that no
// literal can equal. Any other text is a literal secret: it works, with a
// warning.
type Ref string

const (
	mark     = "\x00"
	kindEnv  = "env"
	kindFile = "file"
	kindCred = "credential"
	maxBytes = 64 << 10
)

// Env is the reference to an environment variable.
func Env(name string) Ref { return Ref(mark + kindEnv + mark + name) }

// File is the reference to a file that holds the secret and nothing else; one
// trailing line end is not part of it.
func File(path string) Ref { return Ref(mark + kindFile + mark + path) }

// Credential is the reference to a systemd credential (LoadCredential=).
func Credential(name string) Ref { return Ref(mark + kindCred + mark + name) }

// IsLiteral reports whether r is a secret written into the configuration.
func (r Ref) IsLiteral() bool { return r != "" && !strings.HasPrefix(string(r), mark) }

// IsZero reports whether r names nothing.
func (r Ref) IsZero() bool { return r == "" }

func (r Ref) split() (kind, name string) {
	p := strings.SplitN(string(r), mark, 3)
	if len(p) != 3 {
		return "", ""
	}
	return p[1], p[2]
}

// String names the place of the secret, "(redacted)" for a literal one.
func (r Ref) String() string {
	switch kind, name := r.split(); {
	case r == "":
		return ""
	case kind == "":
		return "(redacted)"
	default:
		return fmt.Sprintf("%s(%q)", kind, name)
	}
}

// GoString is String: %#v does not print a literal either.
func (r Ref) GoString() string { return r.String() }

// MarshalText is String.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Resolver opens references. The zero value reads the process environment.
type Resolver struct {
	LookupEnv      func(string) (string, bool) // nil = os.LookupEnv
	CredentialsDir string                      // "" = $CREDENTIALS_DIRECTORY
}

// Open checks that the secret can be read now and returns a function that
// returns its current value: a file that changed is read again. The function
// is safe for concurrent use; when a file is gone for a moment it returns the
// last good value.
func (r Resolver) Open(ref Ref) (func() (string, error), error) {
	kind, name := ref.split()
	var get func() (string, error)
	switch kind {
	case "":
		if ref == "" {
			return nil, errors.New("open secret: no reference given")
		}
		lit := string(ref)
		return func() (string, error) { return lit, nil }, nil
	case kindEnv:
		get = func() (string, error) { return r.env(name) }
	case kindFile:
		get = (&file{path: name}).get
	case kindCred:
		dir, err := r.credentials()
		if err != nil {
			return nil, fmt.Errorf("open secret %s: %w", ref, err)
		}
		if name != filepath.Base(name) {
			return nil, fmt.Errorf("open secret %s: a credential's name has no path", ref)
		}
		get = (&file{path: filepath.Join(dir, name)}).get
	}
	if _, err := get(); err != nil {
		return nil, fmt.Errorf("open secret %s: %w", ref, err)
	}
	return get, nil
}

func (r Resolver) env(name string) (string, error) {
	look := r.LookupEnv
	if look == nil {
		look = os.LookupEnv
	}
	v, ok := look(name)
	if !ok || v == "" {
		return "", errors.New("the environment variable is not set")
	}
	return v, nil
}

func (r Resolver) credentials() (string, error) {
	if r.CredentialsDir != "" {
		return r.CredentialsDir, nil
	}
	if d := os.Getenv("CREDENTIALS_DIRECTORY"); d != "" {
		return d, nil
	}
	return "", errors.New("CREDENTIALS_DIRECTORY is not set: the service needs LoadCredential= in its unit")
}

// file is a secret in a file; it is read again when size, time or inode differ.
type file struct {
	path string

	mu    sync.Mutex
	value string
	good  bool
	mtime time.Time
	info  os.FileInfo
}

func (f *file) get() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.path)
	if err == nil && f.good && os.SameFile(info, f.info) && info.ModTime().Equal(f.mtime) && info.Size() == f.info.Size() {
		return f.value, nil
	}
	if err == nil {
		err = f.read(info)
	}
	if err != nil && f.good {
		return f.value, nil
	}
	return f.value, err
}

func (f *file) read(info os.FileInfo) error {
	if info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("the file %s can be read or changed by everybody (mode %04o): chmod 0600", f.path, info.Mode().Perm())
	}
	h, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer func() { _ = h.Close() }()
	b, err := io.ReadAll(io.LimitReader(h, maxBytes+1))
	if err != nil {
		return err
	}
	if len(b) > maxBytes {
		return fmt.Errorf("the file %s is larger than %d bytes", f.path, maxBytes)
	}
	v := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if v == "" {
		return fmt.Errorf("the file %s is empty", f.path)
	}
	f.value, f.good, f.mtime, f.info = v, true, info.ModTime(), info
	return nil
}
