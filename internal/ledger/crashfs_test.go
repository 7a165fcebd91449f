package ledger

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"
)

// crashFS is a strict file system in memory: what was not synced (content), and
// names whose directory was not synced, are gone after a crash. fail, when
// set, decides the outcome of every operation by its number.
type crashFS struct {
	mu   sync.Mutex
	live map[string]*crashNode
	kept map[string]*crashNode // names that survive
	ops  int
	fail func(op int, what, name string) error
}

type crashNode struct{ live, kept []byte }

func newCrashFS() *crashFS {
	return &crashFS{live: map[string]*crashNode{}, kept: map[string]*crashNode{}}
}

// crash returns the file system as a restart would see it: keep says how many
// unsynced bytes of each file survive all the same (torn writes).
func (c *crashFS) crash(keep func(name string, unsynced int) int) *crashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := newCrashFS()
	for name, node := range c.kept {
		content := append([]byte(nil), node.kept...)
		if extra := len(node.live) - len(content); extra > 0 && keep != nil {
			content = append(content, node.live[len(content):len(content)+keep(name, extra)]...)
		}
		fresh := &crashNode{live: content, kept: append([]byte(nil), content...)}
		n.live[name], n.kept[name] = fresh, fresh
	}
	return n
}

func (c *crashFS) step(what, name string) error {
	c.ops++
	if c.fail != nil {
		return c.fail(c.ops, what, name)
	}
	return nil
}

func (c *crashFS) Open(name string, create bool) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("open", name); err != nil {
		return nil, err
	}
	node := c.live[name]
	if create && node != nil {
		return nil, os.ErrExist
	}
	if node == nil {
		if !create {
			return nil, os.ErrNotExist
		}
		node = &crashNode{}
		c.live[name] = node
	}
	return &crashFile{c, node, name}, nil
}

func (c *crashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("rename", from); err != nil {
		return err
	}
	c.live[to] = c.live[from]
	delete(c.live, from)
	return nil
}

func (c *crashFS) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("remove", name); err != nil {
		return err
	}
	if c.live[name] == nil {
		return os.ErrNotExist
	}
	delete(c.live, name)
	return nil
}

func (c *crashFS) List(dir string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for name := range c.live {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	sort.Strings(names)
	return names, c.step("list", dir)
}

func (c *crashFS) Mkdir(string) error { return nil }

func (c *crashFS) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("syncdir", dir); err != nil {
		return err
	}
	for name := range c.kept {
		if filepath.Dir(name) == dir && c.live[name] != c.kept[name] {
			delete(c.kept, name)
		}
	}
	for name, node := range c.live {
		if filepath.Dir(name) == dir {
			c.kept[name] = node
		}
	}
	return nil
}

type crashFile struct {
	c    *crashFS
	node *crashNode
	name string
}

func (f *crashFile) ReadAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if off >= int64(len(f.node.live)) {
		return 0, io.EOF
	}
	n := copy(b, f.node.live[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *crashFile) WriteAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.step("write", f.name); err != nil {
		return 0, err
	}
	for int64(len(f.node.live)) < off+int64(len(b)) {
		f.node.live = append(f.node.live, 0)
	}
	return copy(f.node.live[off:], b), nil
}

func (f *crashFile) Truncate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.step("truncate", f.name); err != nil {
		return err
	}
	if size < int64(len(f.node.live)) {
		f.node.live = f.node.live[:size:size]
	}
	return nil
}

func (f *crashFile) Sync() error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.step("sync", f.name); err != nil {
		return err
	}
	f.node.kept = append([]byte(nil), f.node.live...)
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return int64(len(f.node.live)), nil
}

func (f *crashFile) Close() error { return nil }

var errInjected = errors.New("injected fault")
