// Package archtest owns the rules of the house that a machine can check: who may import whom, as docs/architecture.md
// says, no registration by init, no package-level state, no clock or chance in what must be deterministic, no sleeping
// tests. It reads source files only; nothing is compiled.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

const module = "github.com/appgovd/appgovd"

// tree is every Go file of the project, by path from its root.
type tree struct {
	set   *token.FileSet
	files map[string]*ast.File
}

// load parses every Go file below the root of fsys, without testdata and without nested modules.
func load(fsys fs.FS) (*tree, error) {
	t := &tree{set: token.NewFileSet(), files: map[string]*ast.File{}}
	err := fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipDir(fsys, name)
		}
		if path.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		t.files[name], err = parser.ParseFile(t.set, name, source, parser.ParseComments|parser.SkipObjectResolution)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load tree: %w", err)
	}
	return t, nil
}

func skipDir(fsys fs.FS, name string) error {
	if name == "." {
		return nil
	}
	if base := path.Base(name); base == "testdata" || strings.HasPrefix(base, ".") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(fsys, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

// paths are the files in order, either the tests or the others.
func (t *tree) paths(tests bool) []string {
	var names []string
	for name := range t.files {
		if strings.HasSuffix(name, "_test.go") == tests {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// at is a place in the form file:line.
func (t *tree) at(p token.Pos) string {
	position := t.set.Position(p)
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

// room is the package of a file as the documents name it: without internal/.
func room(file string) string { return strings.TrimPrefix(path.Dir(file), "internal/") }

// importsOf are the import paths of a file with their places.
func (t *tree) importsOf(file string) map[string]token.Pos {
	found := map[string]token.Pos{}
	for _, spec := range t.files[file].Imports {
		if imported, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[imported] = spec.Pos()
		}
	}
	return found
}

// table says for each room which rooms it may import; a nil list means all.
type table map[string][]string

// parseTable reads the table of packages in docs/architecture.md: the first column names rooms, the last what they may
// import. What stands in parentheses is for the reader.
func parseTable(document string) (table, error) {
	t := table{}
	for line := range strings.Lines(document) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "| `") || len(cells) < 3 {
			continue
		}
		for _, name := range strings.Split(withoutParentheses(cells[0]), ",") {
			t[strings.Trim(name, " `")] = allowed(cells[2])
		}
	}
	if len(t) == 0 {
		return nil, fmt.Errorf("parse table: docs/architecture.md has no table of packages")
	}
	return t, nil
}

func allowed(cell string) []string {
	cell = strings.TrimSpace(withoutParentheses(cell))
	if cell == "all" {
		return nil
	}
	list := []string{}
	for _, name := range strings.Split(cell, ",") {
		if name = strings.Trim(name, " `"); name != "" && name != "-" {
			list = append(list, name)
		}
	}
	return list
}

func withoutParentheses(s string) string {
	for {
		before, rest, found := strings.Cut(s, "(")
		if !found {
			return s
		}
		_, after, _ := strings.Cut(rest, ")")
		s = before + after
	}
}

// row is the key of the table that a room belongs to: its own name, its parent's, or the pattern parent/*.
func (t table) row(name string) (string, bool) {
	for at := name; at != "."; at = path.Dir(at) {
		if _, ok := t[at]; ok {
			return at, true
		}
		if _, ok := t[path.Dir(at)+"/*"]; ok {
			return path.Dir(at) + "/*", true
		}
	}
	return "", false
}

// mayImport tells whether a room may import another. Parts of one room, such as detect and detect/ruletest, may.
func (t table) mayImport(from, to string) bool {
	row, ok := t.row(from)
	if !ok {
		return false
	}
	if t[row] == nil || within(from, to) || within(to, from) {
		return true
	}
	target, ok := t.row(to)
	return ok && slices.Contains(t[row], target)
}

func within(name, parent string) bool { return name == parent || strings.HasPrefix(name, parent+"/") }

// supports are the folders of test support and tools; they may import what they check, and nothing may import them.
func isSupport(name string) bool {
	for _, s := range []string{"archtest", "servicetest", "e2e", "proof", "tools", "ingest/sourcetest", "deliver/sinktest"} {
		if within(name, s) {
			return true
		}
	}
	return false
}

func isCommand(name string) bool { return within(name, "cmd") }

// checkImports finds imports that the table does not allow, in files that are no tests.
func checkImports(t *tree, rules table) []string {
	var found []string
	for _, file := range t.paths(false) {
		from := room(file)
		for imported, pos := range t.importsOf(file) {
			to, ours := strings.CutPrefix(imported, module+"/internal/")
			if !ours || isSupport(from) {
				continue
			}
			if problem := importProblem(rules, from, to); problem != "" {
				found = append(found, t.at(pos)+": "+from+" imports "+to+": "+problem)
			}
		}
	}
	slices.Sort(found)
	return found
}

func importProblem(rules table, from, to string) string {
	switch {
	case isSupport(to):
		return "test support is for tests"
	case to == "sim" && from != "cmd/appgov-sim":
		return "the simulated cloud is for its command and for tests"
	case isCommand(from), rules.mayImport(from, to):
		return ""
	default:
		return "docs/architecture.md does not allow it"
	}
}

// checkRows finds rooms without a row in the table, and rows without a room.
func checkRows(t *tree, rules table) []string {
	var found []string
	used := map[string]bool{}
	for _, file := range t.paths(false) {
		name := room(file)
		if !strings.HasPrefix(file, "internal/") || isSupport(name) {
			continue
		}
		row, ok := rules.row(name)
		if used[row] = true; !ok {
			found = append(found, "internal/"+name+" has no row in docs/architecture.md")
		}
	}
	for row := range rules {
		if !used[row] {
			found = append(found, "docs/architecture.md has a row for "+row+", which does not exist")
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// ban forbids a set of rooms to import what begins with a path, in tests too where that is said.
type ban struct {
	rooms   []string // empty means everywhere
	imports string   // an import path; with a slash at its end, everything below it
	tests   bool
	why     string
}

func (b ban) covers(name string) bool {
	return len(b.rooms) == 0 || slices.ContainsFunc(b.rooms, func(r string) bool { return within(name, r) })
}

func (b ban) hits(imported string) bool {
	return imported == b.imports || strings.HasSuffix(b.imports, "/") && strings.HasPrefix(imported+"/", b.imports)
}

// bans are the forbidden pairs beside the table.
func bans() []ban {
	deterministic := []string{"event", "rule", "inventory", "detect", "format", "route"}
	const pure = "it is a function of its input, without I/O"
	return []ban{
		{nil, "github.com/microsoftgraph/msgraph-sdk-go", true, "the root package links the whole API: use the request builders' packages"},
		{nil, "log", false, "the logger is zap, injected"},
		{nil, "log/slog", false, "the logger is zap, injected"},
		{deterministic, "net/http/", false, pure},
		{deterministic, "net", false, pure},
		{deterministic, "os/", false, pure},
		{deterministic, "math/rand/", false, "the same input gives the same output"},
		{deterministic, "crypto/rand", false, "the same input gives the same output"},
		{[]string{"event", "rule", "inventory", "format", "route"}, "go.uber.org/zap/", false, "it returns what it finds"},
		{[]string{"event", "inventory", "ledger", "format", "route"}, "github.com/hashicorp/hcl/", false, "it knows no configuration language"},
		{[]string{"event", "inventory", "detect", "ingest", "deliver", "ledger"}, "github.com/microsoftgraph/", false, "it knows no vendor"},
	}
}

// checkBans finds imports that a ban forbids.
func checkBans(t *tree, bans []ban) []string {
	var found []string
	for _, tests := range []bool{false, true} {
		for _, file := range t.paths(tests) {
			for imported, pos := range t.importsOf(file) {
				for _, b := range bans {
					if (!tests || b.tests) && b.covers(room(file)) && b.hits(imported) {
						found = append(found, t.at(pos)+": "+room(file)+" imports "+imported+": "+b.why)
					}
				}
			}
		}
	}
	slices.Sort(found)
	return found
}
