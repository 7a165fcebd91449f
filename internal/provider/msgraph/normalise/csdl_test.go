package normalise

import (
	"encoding/xml"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// csdl is the properties of each type of Microsoft's metadata, with those of
// what it derives from.
type csdl map[string]csdlType

type csdlType struct {
	base  string
	props []string
}

func readCSDL(t *testing.T) csdl {
	t.Helper()
	b := servicetest.Corpus(t, "graph-v1.0-csdl.xml")
	return parseCSDL(t, b)
}

func parseCSDL(t *testing.T, b []byte) csdl {
	t.Helper()
	type structure struct {
		Name  string `xml:",attr"`
		Base  string `xml:"BaseType,attr"`
		Props []struct {
			Name string `xml:",attr"`
		} `xml:"Property"`
		Links []struct {
			Name string `xml:",attr"`
		} `xml:"NavigationProperty"`
	}
	var f struct {
		Schemas []struct {
			Namespace string      `xml:",attr"`
			Entities  []structure `xml:"EntityType"`
			Complex   []structure `xml:"ComplexType"`
		} `xml:"DataServices>Schema"`
	}
	if err := xml.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Schemas) == 0 {
		t.Fatal("no schema in the metadata")
	}
	out := csdl{}
	for _, s := range f.Schemas {
		for _, x := range slices.Concat(s.Entities, s.Complex) {
			ty := csdlType{base: strings.NewReplacer("self.", s.Namespace+".", "graph.", "microsoft.graph.").Replace(x.Base)}
			if strings.HasPrefix(x.Base, "microsoft.") {
				ty.base = x.Base
			}
			for _, p := range slices.Concat(x.Props, x.Links) {
				ty.props = append(ty.props, p.Name)
			}
			out[s.Namespace+"."+x.Name] = ty
		}
	}
	return out
}

func (c csdl) has(typ, prop string) bool {
	for ; typ != ""; typ = c[typ].base {
		if slices.Contains(c[typ].props, prop) {
			return true
		}
	}
	return false
}

// typesOf names the types whose properties a function of the decoders reads, in
// microsoft.graph; "envelope" is that of a diagnostic setting.
func typesOf() map[string][]string {
	audit := []string{"directoryAudit", "targetResource", "modifiedProperty", "keyValue", "auditActivityInitiator", "userIdentity", "appIdentity", "initiator"}
	signIn := []string{"signIn", "signInStatus", "signInLocation", "appliedConditionalAccessPolicy"}
	app := []string{"application", "servicePrincipal", "verifiedPublisher", "webApplication", "spaApplication", "publicClientApplication", "apiApplication",
		"appRole", "permissionScope", "passwordCredential", "keyCredential"}
	known := slices.Concat([]string{"directoryAudit", "signIn", "security.alert", "application", "servicePrincipal", "oAuth2PermissionGrant", "appRoleAssignment"}, []string{"envelope", "MicrosoftGraphActivityLogs"})
	call := []string{"MicrosoftGraphActivityLogs", "AADGraphActivityLogs"}
	return map[string][]string{
		"audit": audit, "auditTime": audit, "initiator": audit, "changes": audit, "entityOf": audit, "describesGrant": audit,
		"signIn": signIn, "origin": signIn, "signInResult": append(signIn, "envelope"), "enforced": signIn, "signInKind": append(signIn, "envelope"),
		"alert": {"security.alert", "security.oauthApplicationEvidence", "security.servicePrincipalEvidence", "security.ipEvidence", "security.userEvidence", "security.userAccount"},
		"app":   app, "replyURLs": app, "credentials": app, "roles": app,
		"delegatedGrant": {"oAuth2PermissionGrant"}, "appRoleAssignment": {"appRoleAssignment"},
		"start": {"directoryObject", "oAuth2PermissionGrant", "removed"}, "base": {"directoryAudit", "signIn"},
		"owners": {"application", "servicePrincipal", "directoryObject"}, "federated": {"application", "federatedIdentityCredential"},
		"heldRole":       {"unifiedRoleAssignment", "unifiedRoleEligibilityScheduleInstance", "servicePrincipal"},
		"roleDefinition": {"unifiedRoleDefinition"}, "policy": {"policyBase", "permissionGrantPolicy"},
		"consentRequest": {"userConsentRequest", "appConsentRequest", "appConsentRequestScope", "identitySet", "identity"},
		"appUse":         {"servicePrincipalSignInActivity", "signInActivity"}, "credentialUse": {"appCredentialSignInActivity", "signInActivity"},
		"appRisk": {"riskyServicePrincipal"}, "riskVerdict": {"riskyServicePrincipal"}, "riskHistory": {"riskyServicePrincipalHistoryItem", "riskServicePrincipalActivity"}, "risk": {"riskyServicePrincipal", "servicePrincipalRiskDetection"},
		"riskDetection": {"servicePrincipalRiskDetection", "signInLocation"},
		"governance":    {"OAuthAppInfo"}, "calls": {"GraphAPIAuditEvents"}, "activity": {"CloudAppEvents"}, "huntedSignIn": {"EntraIdSpnSignInEvents"},
		"hunted": {"CloudAppEvents", "OAuthAppInfo"}, "appInfo": {"OAuthAppInfo"},
		"portalSignIn": signIn, "portalPlace": signIn, "portalAudit": audit, "portalActor": audit, "portalTarget": audit,
		"call": call, "caller": call, "isLegacyGraph": {"envelope"}, "streamed": {"envelope"},
		"unpacked": {"security.auditLogRecord"}, "cutAuditData": {"security.auditLogRecord"},
		"any": known, "kindOf": known, "loggedKind": known, "riskKind": {"servicePrincipalRiskDetection", "riskyServicePrincipal", "riskyServicePrincipalHistoryItem"}, "objectKind": known, "tenantOf": known,
	}
}

// read is one property name in the source of the decoders.
type read struct{ function, name, at string }

// reads finds the names that decoders look up: first arguments and all names of
// the getters of object, and indexes. Names of flat rows begin with a capital.
func reads(t *testing.T) []read {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	getters := []string{"base", "str", "elements", "strs", "object", "objects", "bool", "time", "text", "has", "add", "addStrs"}
	var out []read
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			ast.Inspect(fn, func(n ast.Node) bool {
				var args []ast.Expr
				switch x := n.(type) {
				case *ast.IndexExpr:
					args = []ast.Expr{x.Index}
				case *ast.CallExpr:
					callee := ""
					switch c := x.Fun.(type) {
					case *ast.Ident:
						callee = c.Name
					case *ast.SelectorExpr:
						callee = c.Sel.Name
					}
					if slices.Contains(getters, callee) {
						args = x.Args
					}
					if len(args) > 1 && (callee == "text" || callee == "has" || callee == "add") {
						args = args[:1]
					}
				}
				for _, a := range flat(args) {
					lit, ok := a.(*ast.BasicLit)
					if !ok || lit.Kind != token.STRING {
						continue
					}
					s, _ := strconv.Unquote(lit.Value)
					if s != "" && (unicode.IsLower(rune(s[0])) || slices.Contains(hunters(), fn.Name.Name)) {
						out = append(out, read{fn.Name.Name, s, set.Position(lit.Pos()).String()})
					}
				}
				return true
			})
		}
	}
	return out
}

// flat is args with the elements of their lists in place of these.
func flat(args []ast.Expr) []ast.Expr {
	var out []ast.Expr
	for _, a := range args {
		if list, ok := a.(*ast.CompositeLit); ok {
			out = append(out, list.Elts...)
		} else {
			out = append(out, a)
		}
	}
	return out
}

// hunters are the functions that read rows of advanced hunting, whose columns begin
// with a capital.
func hunters() []string {
	return []string{"governance", "calls", "activity", "huntedSignIn", "hunted", "appInfo"}
}

// otherProperties are those that the metadata of v1.0 lacks, each with the page
// that documents it.
func otherProperties(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("testdata/other-properties.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) != 2 || !strings.HasPrefix(f[1], "https://learn.microsoft.com/") {
			t.Fatalf("line without a page: %q", line)
		}
		out[f[0]] = false
	}
	return out
}

// Every property that the decoders read exists in Microsoft's metadata, in a type
// that the decoder reads, or has a page of its own.
func TestEveryPropertyThatIsReadIsDocumented(t *testing.T) {
	meta, types, others := readCSDL(t), typesOf(), otherProperties(t)
	list := reads(t)
	if len(list) < 100 {
		t.Fatalf("only %d names found in the decoders", len(list))
	}
	for _, r := range list {
		if types[r.function] == nil {
			t.Errorf("%s: %s reads %q: say in typesOf of which types", r.at, r.function, r.name)
			continue
		}
		known := false
		for _, typ := range types[r.function] {
			if _, listed := others[typ+"."+r.name]; listed {
				others[typ+"."+r.name], known = true, true
				if meta.has("microsoft.graph."+typ, r.name) {
					t.Errorf("%s.%s is in the metadata: it has no place in other-properties.txt", typ, r.name)
				}
			}
			known = known || meta.has("microsoft.graph."+typ, r.name)
		}
		if !known {
			t.Errorf("%s: %s reads %q, which none of %v has", r.at, r.function, r.name, types[r.function])
		}
	}
	for name, used := range others {
		if !used {
			t.Errorf("other-properties.txt: %s is not read", name)
		}
	}
}

// What a sheet of the admin center is written as are properties of Graph's sign-ins.
func TestEveryColumnOfASheetIsAPropertyOfASignIn(t *testing.T) {
	meta, others := readCSDL(t), otherProperties(t)
	for _, c := range portalSignInColumns() {
		if _, listed := others["signIn."+c[0]]; !listed && !meta.has("microsoft.graph.signIn", c[0]) {
			t.Errorf("column %q is written as %q, which no sign-in has", c[1], c[0])
		}
	}
}

// metadata is a newer $metadata of Graph v1.0 that TestMetadataDiff compares with what
// the decoders read: make metadata-diff FILE=metadata.xml.
var metadata = flag.String("metadata", "", "file with a newer $metadata")

// TestMetadataDiff fails where a property that a decoder reads is gone, and tells what
// else a newer $metadata changes in the types that decoders read.
func TestMetadataDiff(t *testing.T) {
	if *metadata == "" {
		t.Skip("SKIPPED: no newer metadata: make metadata-diff FILE=metadata.xml")
	}
	b, err := os.ReadFile(*metadata)
	if err != nil {
		t.Fatal(err)
	}
	now, was := parseCSDL(t, b), readCSDL(t)
	types, others := typesOf(), otherProperties(t)
	for _, line := range metadataDiff(was, now, types, others, reads(t)) {
		if strings.HasPrefix(line, "gone") {
			t.Error(line)
		} else {
			t.Log(line)
		}
	}
}

// metadataDiff lists what differs between two metadata for the decoders.
func metadataDiff(was, now csdl, types map[string][]string, others map[string]bool, list []read) []string {
	var out []string
	users := map[string][]string{} // type -> decoders
	for f, names := range types {
		for _, typ := range names {
			users[typ] = append(users[typ], f)
		}
	}
	for _, r := range list {
		for _, typ := range types[r.function] {
			full := "microsoft.graph." + typ
			if was.has(full, r.name) && !now.has(full, r.name) {
				out = append(out, fmt.Sprintf("gone: %s.%s, which decoder %s reads at %s", typ, r.name, r.function, r.at))
			}
		}
	}
	for name := range others {
		i := strings.LastIndexByte(name, '.')
		if now.has("microsoft.graph."+name[:i], name[i+1:]) {
			out = append(out, "now in v1.0: "+name+", which other-properties.txt lists")
		}
	}
	for typ, decoders := range users {
		slices.Sort(decoders)
		for _, p := range now["microsoft.graph."+typ].props {
			if !was.has("microsoft.graph."+typ, p) {
				out = append(out, fmt.Sprintf("new: %s.%s; decoders of the type: %s", typ, p, strings.Join(slices.Compact(decoders), ", ")))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func TestMetadataDiffNamesTheDecoder(t *testing.T) {
	was := csdl{"microsoft.graph.a": {props: []string{"old", "kept"}}}
	now := csdl{"microsoft.graph.a": {props: []string{"kept", "new", "beta"}}}
	got := metadataDiff(was, now, map[string][]string{"decodeA": {"a"}}, map[string]bool{"a.beta": false}, []read{{"decodeA", "old", "a.go:1"}, {"decodeA", "kept", "a.go:2"}})
	want := []string{"gone: a.old, which decoder decodeA reads at a.go:1", "new: a.beta; decoders of the type: decodeA", "new: a.new; decoders of the type: decodeA", "now in v1.0: a.beta, which other-properties.txt lists"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
