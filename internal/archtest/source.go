package archtest

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// checkInit finds init functions: registration is a table in app.
func checkInit(t *tree) []string {
	var found []string
	for _, file := range t.paths(false) {
		for _, declaration := range t.files[file].Decls {
			if f, ok := declaration.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				found = append(found, t.at(f.Pos())+": init function")
			}
		}
	}
	return found
}

// checkState finds package-level variables that may change. Sentinel errors, compiled patterns, embedded files and
// assertions of interfaces do not; allow names others, as room.name.
func checkState(t *tree, allow []string) []string {
	var found []string
	for _, file := range t.paths(false) {
		for _, declaration := range t.files[file].Decls {
			g, ok := declaration.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR || isEmbedded(g.Doc) {
				continue
			}
			for _, spec := range g.Specs {
				found = append(found, t.state(file, spec.(*ast.ValueSpec), allow)...)
			}
		}
	}
	return found
}

func (t *tree) state(file string, v *ast.ValueSpec, allow []string) []string {
	var found []string
	for i, name := range v.Names {
		if name.Name == "_" || isEmbedded(v.Doc) || i < len(v.Values) && isConstantCall(v.Values[i]) {
			continue
		}
		if !slices.Contains(allow, room(file)+"."+name.Name) {
			found = append(found, t.at(name.Pos())+": package-level variable "+name.Name)
		}
	}
	return found
}

func isEmbedded(doc *ast.CommentGroup) bool {
	return doc != nil && slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isConstantCall tells whether a value is made once and never changes.
func isConstantCall(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	return ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile"}, selector(call.Fun))
}

// selector is an expression of the form package.Name as text.
func selector(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return x.Name + "." + s.Sel.Name
		}
	}
	return ""
}

// checkUses finds uses of package.Name in the files of the rooms given; no rooms means all.
func checkUses(t *tree, tests bool, rooms []string, names []string, why string) []string {
	var found []string
	for _, file := range t.paths(tests) {
		if !(ban{rooms: rooms}).covers(room(file)) {
			continue
		}
		ast.Inspect(t.files[file], func(n ast.Node) bool {
			if e, ok := n.(ast.Expr); ok && slices.Contains(names, selector(e)) {
				found = append(found, t.at(e.Pos())+": "+selector(e)+": "+why)
			}
			return true
		})
	}
	return found
}

// checkClock finds readings of the clock where time comes from events and ticks.
func checkClock(t *tree) []string {
	return checkUses(t, false, []string{"event", "rule", "inventory", "detect", "format", "route"},
		[]string{"time.Now", "time.Since", "time.Until", "time.After", "time.NewTimer", "time.NewTicker", "time.Sleep"},
		"time comes from events and ticks")
}

// checkSleep finds sleeping tests.
func checkSleep(t *tree) []string {
	return checkUses(t, true, nil, []string{"time.Sleep"}, "wait for a condition, or use testing/synctest")
}

// checkComments finds packages without a comment that says what they own.
func checkComments(t *tree) []string {
	commented := map[string]bool{}
	for _, file := range t.paths(false) {
		commented[room(file)] = commented[room(file)] || t.files[file].Doc != nil
	}
	var found []string
	for name, ok := range commented {
		if !ok {
			found = append(found, name+" has no package comment")
		}
	}
	slices.Sort(found)
	return found
}
