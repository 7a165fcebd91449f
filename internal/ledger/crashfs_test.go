package ledger

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"

	"golang.org/x/sys/unix"
)

// crashFS is a strict file system in memory. After a crash every write since the
// last sync of its file is there, is gone or is there in part, each for itself;
// of the creations, renames and removals since the last sync of their
// directory some first ones are there; a directory that is not there takes what is in it along. fail, when set, decides the outcome of
// every operation by its number; watch, when set, is called before each that
// changes something.
type crashFS struct {
	mu    sync.Mutex
	live  map[string]*crashNode
	kept  map[string]*crashNode // names that survive
	dirs  map[string]bool       // directories; true = it survives
	log   map[string][]nameOp   // what a directory was not synced for
	ops   int
	fail  func(op int, what, name string) error
	watch func()
	again int                                    // syncs of a file of which one failed before
	bad   func(name string, from, to int64) bool // reads of that range fail with EIO
}

// crashNode is a file. kept and what stands in unsynced are never changed, so
// that an image shares them.
type crashNode struct {
	live, kept []byte
	unsynced   []crashWrite
}

type crashWrite struct {
	off  int64 // -1: a truncation to size
	data []byte
	size int64
}

// nameOp makes name stand for node; nil removes it. dir: it makes a directory.
type nameOp struct {
	name string
	node *crashNode
	dir  bool
}

func newCrashFS() *crashFS {
	return &crashFS{live: map[string]*crashNode{}, kept: map[string]*crashNode{}, dirs: map[string]bool{"/": true}, log: map[string][]nameOp{}}
}

// crashImage is what a disk may hold of a file system at one moment.
type crashImage struct {
	names map[string]*crashNode
	dirs  []string
	log   [][]nameOp
	files map[*crashNode]crashNode
}

// image is cheap: it shares the contents. Called with the lock held.
func (c *crashFS) image() *crashImage {
	im := &crashImage{names: make(map[string]*crashNode, len(c.kept)), files: make(map[*crashNode]crashNode, len(c.kept)+4)}
	for name, node := range c.kept {
		im.names[name], im.files[node] = node, *node
	}
	for dir, survives := range c.dirs {
		if survives {
			im.dirs = append(im.dirs, dir)
		}
	}
	dirs := make([]string, 0, len(c.log))
	for dir := range c.log {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	for _, dir := range dirs {
		ops := c.log[dir]
		im.log = append(im.log, ops[:len(ops):len(ops)])
		for _, op := range ops {
			if op.node != nil {
				im.files[op.node] = *op.node
			}
		}
	}
	return im
}

// restart is a file system after the crash; r decides what of the unsynced is
// there, nil = nothing.
func (im *crashImage) restart(r *rand.Rand) *crashFS {
	n := newCrashFS()
	names := make(map[string]*crashNode, len(im.names))
	for name, node := range im.names {
		names[name] = node
	}
	for _, dir := range im.dirs {
		n.dirs[dir] = true
	}
	for _, ops := range im.log {
		if r == nil {
			break
		}
		for _, op := range ops[:r.IntN(len(ops)+1)] {
			switch {
			case op.dir:
				n.dirs[op.name] = true
			case op.node == nil:
				delete(names, op.name)
			default:
				names[op.name] = op.node
			}
		}
	}
	n.unlinked(names)
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		f := im.files[names[name]]
		content := f.survive(r)
		node := &crashNode{live: content, kept: slices.Clone(content)}
		n.live[name], n.kept[name] = node, node
	}
	return n
}

// unlinked takes out what lies in a directory that is not there.
func (c *crashFS) unlinked(names map[string]*crashNode) {
	var there func(dir string) bool
	there = func(dir string) bool { return c.dirs[dir] && (dir == "/" || there(filepath.Dir(dir))) }
	for name := range names {
		if !there(filepath.Dir(name)) {
			delete(names, name)
		}
	}
	for dir := range c.dirs {
		if !there(dir) {
			delete(c.dirs, dir)
		}
	}
}

func (f *crashNode) survive(r *rand.Rand) []byte {
	content := slices.Clone(f.kept)
	if r == nil {
		return content
	}
	all := r.IntN(3) // most crashes leave all or nothing
	for _, w := range f.unsynced {
		switch keep := r.IntN(3); {
		case all == 0 || all == 2 && keep == 0: // gone
		case all == 2 && keep == 1 && w.off >= 0:
			content = overwrite(content, w.data[:r.IntN(len(w.data)+1)], w.off)
		default:
			content = w.apply(content)
		}
	}
	return content
}

func (w *crashWrite) apply(b []byte) []byte {
	if w.off < 0 {
		return b[:min(w.size, int64(len(b)))]
	}
	return overwrite(b, w.data, w.off)
}

func overwrite(b, data []byte, off int64) []byte {
	if more := int(off) + len(data) - len(b); more > 0 {
		b = append(b, make([]byte, more)...)
	}
	copy(b[off:], data)
	return b
}

// crash returns the file system as a restart would see it.
func (c *crashFS) crash(r *rand.Rand) *crashFS {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image().restart(r)
}

func (c *crashFS) step(what, name string) error {
	if c.watch != nil {
		c.watch()
	}
	c.ops++
	if c.fail != nil {
		return c.fail(c.ops, what, name)
	}
	return nil
}

func (c *crashFS) rename(name string, node *crashNode) {
	dir := filepath.Dir(name)
	c.log[dir] = append(c.log[dir], nameOp{name: name, node: node})
	if node == nil {
		delete(c.live, name)
	} else {
		c.live[name] = node
	}
}

func (c *crashFS) Open(name string, create bool) (File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	node := c.live[name]
	what := "open"
	if create {
		what = "create"
	}
	if err := c.step(what, name); err != nil {
		return nil, err
	}
	if create && node != nil {
		return nil, os.ErrExist
	}
	if node == nil {
		if !create || !c.has(filepath.Dir(name)) {
			return nil, os.ErrNotExist
		}
		node = &crashNode{}
		c.rename(name, node)
	}
	return &crashFile{c: c, node: node, name: name}, nil
}

func (c *crashFS) Rename(from, to string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.step("rename", from); err != nil {
		return err
	}
	node := c.live[from]
	if node == nil {
		return os.ErrNotExist
	}
	c.rename(to, node)
	c.rename(from, nil)
	return nil
}

func (c *crashFS) Remove(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.live[name] == nil {
		return os.ErrNotExist
	}
	if err := c.step("remove", name); err != nil {
		return err
	}
	c.rename(name, nil)
	return nil
}

func (c *crashFS) List(dir string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != nil {
		if err := c.step("list", dir); err != nil {
			return nil, err
		}
	}
	var names []string
	for name := range c.live {
		if filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	sort.Strings(names)
	return names, nil
}

func (c *crashFS) has(dir string) bool {
	_, ok := c.dirs[dir]
	return ok
}

func (c *crashFS) Mkdir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.has(dir) && c.fail == nil {
		return nil
	}
	if err := c.step("mkdir", dir); err != nil {
		return err
	}
	parent := filepath.Dir(dir)
	switch {
	case !c.has(parent):
		return os.ErrNotExist
	case !c.has(dir):
		c.dirs[dir] = false
		c.log[parent] = append(c.log[parent], nameOp{name: dir, dir: true})
	}
	return nil
}

func (c *crashFS) SyncDir(dir string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.log[dir]) == 0 && c.fail == nil {
		return nil
	}
	if err := c.step("syncdir", dir); err != nil {
		return err
	}
	for _, op := range c.log[dir] {
		switch {
		case op.dir:
			c.dirs[op.name] = true
		case op.node == nil:
			delete(c.kept, op.name)
		default:
			c.kept[op.name] = op.node
		}
	}
	delete(c.log, dir)
	return nil
}

type crashFile struct {
	c      *crashFS
	node   *crashNode
	name   string
	failed bool // a sync
}

func (f *crashFile) ReadAt(b []byte, off int64) (int, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.fail != nil {
		if err := f.c.fail(0, "read", f.name); err != nil {
			return 0, err
		}
	}
	if bad := f.c.bad; bad != nil && bad(f.name, off, off+int64(len(b))) {
		n := 0
		for to := off/sector*sector + sector; to < off+int64(len(b)) && !bad(f.name, off, to); to += sector {
			n = int(to - off) // what stands before the bad sector
		}
		return copy(b[:n], f.node.live[min(off, int64(len(f.node.live))):]), unix.EIO
	}
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
	f.node.live = overwrite(f.node.live, b, off)
	f.node.unsynced = append(f.node.unsynced, crashWrite{off: off, data: slices.Clone(b)})
	return len(b), nil
}

func (f *crashFile) Truncate(size int64) error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if err := f.c.step("truncate", f.name); err != nil {
		return err
	}
	if size < int64(len(f.node.live)) {
		f.node.live = f.node.live[:size:size]
		f.node.unsynced = append(f.node.unsynced, crashWrite{off: -1, size: size})
	}
	return nil
}

func (f *crashFile) Allocate(int64) error { // the content is of no interest
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.fail == nil {
		return nil
	}
	return f.c.step("allocate", f.name)
}

func (f *crashFile) Sync() error {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if len(f.node.unsynced) == 0 && f.c.fail == nil {
		return nil
	}
	if f.failed {
		f.c.again++
	}
	if err := f.c.step("sync", f.name); err != nil {
		f.failed = true
		f.node.unsynced = nil // those pages count as clean now: no later sync writes them
		return err
	}
	kept := slices.Clone(f.node.kept)
	for _, w := range f.node.unsynced {
		kept = w.apply(kept)
	}
	f.node.kept, f.node.unsynced = kept, nil
	return nil
}

func (f *crashFile) Size() (int64, error) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	return int64(len(f.node.live)), nil
}

func (f *crashFile) Close() error { return nil }

var errInjected = errors.New("injected fault")
