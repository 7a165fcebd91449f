package sim

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// model is the part of a CSDL that the check needs.
type model struct {
	types map[string]csdlType // by qualified name
	enums map[string][]string
}

type csdlType struct {
	base  string
	props map[string]csdlProp
	open  bool
}

type csdlProp struct {
	Name     string `xml:"Name,attr"`
	Type     string `xml:"Type,attr"`
	Nullable string `xml:"Nullable,attr"`
}

type csdlStructure struct {
	Name  string     `xml:"Name,attr"`
	Base  string     `xml:"BaseType,attr"`
	Open  bool       `xml:"OpenType,attr"`
	Props []csdlProp `xml:"Property"`
	Links []csdlProp `xml:"NavigationProperty"`
}

type csdlFile struct {
	Schemas []struct {
		Namespace string          `xml:"Namespace,attr"`
		Entities  []csdlStructure `xml:"EntityType"`
		Complex   []csdlStructure `xml:"ComplexType"`
		Enums     []struct {
			Name    string `xml:"Name,attr"`
			Members []struct {
				Name string `xml:"Name,attr"`
			} `xml:"Member"`
		} `xml:"EnumType"`
	} `xml:"DataServices>Schema"`
}

func readModel(t *testing.T) model {
	var f csdlFile
	if err := xml.Unmarshal(servicetest.Corpus(t, "graph-v1.0-csdl.xml"), &f); err != nil {
		t.Fatal(err)
	}
	m := model{types: map[string]csdlType{}, enums: map[string][]string{}}
	for _, s := range f.Schemas {
		full := func(name string) string {
			if rest, ok := strings.CutPrefix(name, "self."); ok {
				return s.Namespace + "." + rest
			}
			if rest, ok := strings.CutPrefix(name, "graph."); ok {
				return "microsoft.graph." + rest
			}
			return name
		}
		for _, st := range slices.Concat(s.Entities, s.Complex) {
			ty := csdlType{base: full(st.Base), props: map[string]csdlProp{}, open: st.Open}
			for _, p := range slices.Concat(st.Props, st.Links) {
				inner, list := strings.CutPrefix(p.Type, "Collection(")
				p.Type = full(strings.TrimSuffix(inner, ")"))
				if list {
					p.Type = "Collection(" + p.Type + ")"
				}
				ty.props[p.Name] = p
			}
			m.types[s.Namespace+"."+st.Name] = ty
		}
		for _, e := range s.Enums {
			for _, mem := range e.Members {
				m.enums[s.Namespace+"."+e.Name] = append(m.enums[s.Namespace+"."+e.Name], mem.Name)
			}
		}
	}
	return m
}

// property finds a property in a type or what it derives from.
func (m model) property(typ, name string) (csdlProp, bool) {
	for typ != "" {
		ty, ok := m.types[typ]
		if !ok {
			return csdlProp{}, false
		}
		if p, ok := ty.props[name]; ok {
			return p, true
		}
		typ = ty.base
	}
	return csdlProp{}, false
}

// check lists how a JSON object differs from its type.
func (m model) check(typ, at string, o map[string]any, beta map[string]string) (diffs []string) {
	if named, ok := o["@odata.type"].(string); ok {
		typ = strings.TrimPrefix(named, "#")
	}
	if _, ok := m.types[typ]; !ok {
		return []string{at + ": unknown type " + typ}
	}
	for name, v := range o {
		if strings.HasPrefix(name, "@odata") {
			continue
		}
		p, ok := m.property(typ, name)
		switch _, known := beta[typ+"."+name]; {
		case known:
			if ok {
				diffs = append(diffs, at+"."+name+": is in v1.0, so it has no place in the list of beta")
			}
		case !ok && !m.types[typ].open:
			diffs = append(diffs, at+"."+name+": "+typ+" has no such property")
		case ok:
			diffs = append(diffs, m.value(p, at+"."+name, v)...)
		}
	}
	return diffs
}

func (m model) value(p csdlProp, at string, v any) []string {
	if inner, ok := strings.CutPrefix(p.Type, "Collection("); ok {
		items, ok := v.([]any)
		if !ok {
			return []string{fmt.Sprintf("%s: %T where a list belongs", at, v)}
		}
		var diffs []string
		for i, it := range items {
			diffs = append(diffs, m.value(csdlProp{Type: strings.TrimSuffix(inner, ")")}, fmt.Sprintf("%s[%d]", at, i), it)...)
		}
		return diffs
	}
	if v == nil {
		if p.Nullable == "false" {
			return []string{at + ": null, which " + p.Type + " must not be here"}
		}
		return nil
	}
	if o, ok := v.(map[string]any); ok {
		return m.check(p.Type, at, o, nil)
	}
	if !m.fits(p.Type, v) {
		return []string{fmt.Sprintf("%s: %v is no %s", at, v, p.Type)}
	}
	return nil
}

func (m model) fits(typ string, v any) bool {
	s, isString := v.(string)
	switch typ {
	case "Edm.String":
		return isString
	case "Edm.Boolean":
		_, ok := v.(bool)
		return ok
	case "Edm.Int32", "Edm.Int64", "Edm.Double":
		_, ok := v.(float64)
		return ok
	case "Edm.Guid":
		return isString && regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`).MatchString(s)
	case "Edm.DateTimeOffset":
		_, err := time.Parse(time.RFC3339Nano, s)
		return isString && err == nil
	case "Edm.Duration":
		return isString && strings.HasPrefix(s, "P")
	case "Edm.Binary":
		_, err := base64.StdEncoding.DecodeString(s)
		return isString && err == nil
	}
	return isString && slices.Contains(m.enums[typ], s)
}

// betaProperties reads the list of properties that v1.0 does not have, each
// with the page that documents it.
func betaProperties(t *testing.T) map[string]string {
	raw, err := os.ReadFile("testdata/beta-properties.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) != 2 || !strings.HasPrefix(f[1], "https://learn.microsoft.com/") {
			t.Fatalf("line without a page: %q", line)
		}
		out[f[0]] = f[1]
	}
	return out
}

// answers are all kinds of objects that the cloud serves.
func answers(t *testing.T) map[string][]map[string]any {
	cl := newClient(t, Options{Apps: 200, Grants: 600, Events: 3000, Alerts: 5, Duplicates: 0.1, Scenario: "all"})
	cl.clock.now = cl.cloud.Complete().Add(time.Minute)
	out := map[string][]map[string]any{}
	from := epoch().Add(-24 * time.Hour)
	for _, k := range logKinds() {
		items, _ := cl.all(logPath(k, from, cl.clock.now))
		out[strings.SplitN(logPath(k, from, cl.clock.now), "?", 2)[0]] = append(out[strings.SplitN(logPath(k, from, cl.clock.now), "?", 2)[0]], items...)
	}
	for _, p := range []string{"/applications", "/servicePrincipals", "/oauth2PermissionGrants", "/security/alerts_v2", "/organization"} {
		out["/v1.0"+p], _ = cl.all("/v1.0" + p)
	}
	for path := range (&Cloud{}).traitPaths() {
		p := path
		switch {
		case strings.HasSuffix(path, "/history"):
			p = strings.Replace(path, "{id}", cl.page("/v1.0/identityProtection/riskyServicePrincipals").Value[0]["id"].(string), 1)
		case strings.HasSuffix(path, "/userConsentRequests"):
			p = strings.Replace(path, "{id}", cl.page("/v1.0/identityGovernance/appConsent/appConsentRequests").Value[0]["id"].(string), 1)
		case strings.Contains(path, "{id}"):
			continue
		}
		version := "/v1.0"
		if strings.HasPrefix(path, "/reports") {
			version = "/beta"
		}
		if strings.HasSuffix(path, "Policy") {
			out[version+path] = []map[string]any{cl.object(version + p)}
			continue
		}
		out[version+path], _ = cl.all(version + p)
	}
	out["federated"] = nil
	apps, _ := cl.all("/v1.0/applications?$expand=federatedIdentityCredentials")
	for _, a := range apps {
		for _, c := range a["federatedIdentityCredentials"].([]any) {
			out["federated"] = append(out["federated"], c.(map[string]any))
		}
	}
	graph := cl.page("/v1.0/servicePrincipals?$filter=appId eq '00000003-0000-0000-c000-000000000000'").Value[0]["id"].(string)
	out["/v1.0/servicePrincipals/{id}/appRoleAssignedTo"], _ = cl.all("/v1.0/servicePrincipals/" + graph + "/appRoleAssignedTo")
	return out
}

func TestEveryAnswerFitsMicrosoftsMetadata(t *testing.T) {
	m, beta := readModel(t), betaProperties(t)
	types := map[string]string{
		"/v1.0/applications": "application", "/v1.0/servicePrincipals": "servicePrincipal", "/v1.0/oauth2PermissionGrants": "oAuth2PermissionGrant",
		"/v1.0/servicePrincipals/{id}/appRoleAssignedTo": "appRoleAssignment", "/v1.0/auditLogs/directoryAudits": "directoryAudit",
		"/v1.0/auditLogs/signIns": "signIn", "/beta/auditLogs/signIns": "signIn", "/v1.0/security/alerts_v2": "security.alert", "/v1.0/organization": "organization",
		"/v1.0/roleManagement/directory/roleDefinitions": "unifiedRoleDefinition", "/v1.0/roleManagement/directory/roleAssignments": "unifiedRoleAssignment",
		"/v1.0/roleManagement/directory/roleEligibilityScheduleInstances": "unifiedRoleEligibilityScheduleInstance", "/v1.0/policies/permissionGrantPolicies": "permissionGrantPolicy",
		"/v1.0/policies/appManagementPolicies": "appManagementPolicy", "/v1.0/policies/authorizationPolicy": "authorizationPolicy",
		"/v1.0/policies/adminConsentRequestPolicy": "adminConsentRequestPolicy", "/v1.0/policies/defaultAppManagementPolicy": "tenantAppManagementPolicy",
		"/v1.0/identityGovernance/appConsent/appConsentRequests": "appConsentRequest", "/v1.0/identityGovernance/appConsent/appConsentRequests/{id}/userConsentRequests": "userConsentRequest",
		"/v1.0/identityProtection/riskyServicePrincipals": "riskyServicePrincipal", "/v1.0/identityProtection/riskyServicePrincipals/{id}/history": "riskyServicePrincipalHistoryItem",
		"/v1.0/identityProtection/servicePrincipalRiskDetections": "servicePrincipalRiskDetection", "federated": "federatedIdentityCredential",
	}
	all := answers(t)
	for path, typ := range types {
		if len(all[path]) == 0 {
			t.Errorf("%s gave nothing", path)
		}
		allowed := map[string]string{}
		if strings.HasPrefix(path, "/beta") {
			allowed = beta
		}
		told := map[string]bool{}
		for _, o := range all[path] {
			for _, d := range m.check("microsoft.graph."+typ, typ, o, allowed) {
				if !told[d] {
					told[d] = true
					t.Errorf("%s: %s", path, d)
				}
			}
		}
	}
}

func TestEveryPropertyOfTheListOfBetaIsServed(t *testing.T) {
	got := map[string]bool{}
	for _, o := range answers(t)["/beta/auditLogs/signIns"] {
		for name := range o {
			got["microsoft.graph.signIn."+name] = true
		}
	}
	for name := range betaProperties(t) {
		if !got[name] {
			t.Errorf("%s is in the list and in no answer", name)
		}
		if isV1(name[strings.LastIndexByte(name, '.')+1:]) {
			t.Errorf("%s is in the list and served by v1.0", name)
		}
	}
}

// schema is the part of OpenAPI that the check needs.
type schema struct {
	Ref        string            `json:"$ref"`
	Type       string            `json:"type"`
	Nullable   bool              `json:"nullable"`
	AllOf      []schema          `json:"allOf"`
	Properties map[string]schema `json:"properties"`
}

type openAPI struct {
	Paths      map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

func (a openAPI) properties(name string) map[string]schema {
	out := map[string]schema{}
	s := a.Components.Schemas[name]
	for _, part := range append(s.AllOf, s) {
		if part.Ref != "" {
			for k, v := range a.properties(strings.TrimPrefix(part.Ref, "#/components/schemas/")) {
				out[k] = v
			}
		}
		for k, v := range part.Properties {
			out[k] = v
		}
	}
	return out
}

func TestTheDirectoryAndTheLogsFitTheOpenAPIDescription(t *testing.T) {
	var api openAPI
	if err := json.Unmarshal(servicetest.Corpus(t, "graph-openapi-slice.json"), &api); err != nil {
		t.Fatal(err)
	}
	all := answers(t)
	for path, name := range map[string]string{
		"/applications": "application", "/servicePrincipals": "servicePrincipal", "/oauth2PermissionGrants": "oAuth2PermissionGrant",
		"/servicePrincipals/{id}/appRoleAssignedTo": "appRoleAssignment", "/auditLogs/directoryAudits": "directoryAudit", "/auditLogs/signIns": "signIn",
	} {
		if _, ok := api.Paths[path]; !ok {
			t.Errorf("%s is in no description", path)
		}
		props := api.properties("microsoft.graph." + name)
		for _, o := range all["/v1.0"+path] {
			if kind, ok := o["@odata.type"].(string); ok {
				props = api.properties(strings.TrimPrefix(kind, "#"))
			}
			for k, v := range o {
				checkOpenAPI(t, path+" "+k, props, k, v)
			}
			props = api.properties("microsoft.graph." + name)
		}
	}
	for path := range (&Cloud{}).graphPaths() {
		plain := strings.TrimSuffix(path, "()")
		if _, ok := api.Paths[plain]; !ok && !strings.HasPrefix(path, "/security") && path != "/organization" && (&Cloud{}).traitPaths()[path] == nil {
			t.Errorf("%s is simulated and in no description", path)
		}
	}
}

func checkOpenAPI(t *testing.T, at string, props map[string]schema, name string, v any) {
	t.Helper()
	p, ok := props[name]
	if !ok && !strings.HasPrefix(name, "@odata") {
		t.Errorf("%s: no such property", at)
		return
	}
	want := map[string]bool{}
	switch v.(type) {
	case nil:
		if !p.Nullable {
			t.Errorf("%s: null where it must not be", at)
		}
		return
	case string:
		want["string"], want[""] = true, true // an enumeration is a reference
	case bool:
		want["boolean"] = true
	case float64:
		want["integer"], want["number"] = true, true
	case []any:
		want["array"] = true
	default:
		want["object"], want[""] = true, true
	}
	if ok && !want[p.Type] {
		t.Errorf("%s: %v where %q belongs", at, v, p.Type)
	}
}

func TestPermissionIdsAreMicrosofts(t *testing.T) {
	for file, have := range map[string][]permission{"merill-GraphAppRoles.json": graphRoles(), "merill-GraphDelegateRoles.json": graphScopes()} {
		var rows []struct{ ID, Value string }
		if err := json.Unmarshal(servicetest.Corpus(t, file), &rows); err != nil {
			t.Fatal(err)
		}
		known := map[permission]bool{}
		for _, r := range rows {
			known[permission{r.ID, r.Value}] = true
		}
		for _, p := range have {
			if !known[p] {
				t.Errorf("%s does not know %s as %s", file, p.value, p.id)
			}
		}
	}
}

func TestTheCheckAgainstTheMetadataCanFail(t *testing.T) {
	m := readModel(t)
	for _, tc := range []struct{ name, typ, json, want string }{
		{"a property that does not exist", "signIn", `{"createdDateTime":"2026-01-01T00:00:00Z","userId":"","signInEventTypes":[]}`, "has no such property"},
		{"a null that must not be", "directoryAudit", `{"activityDateTime":null}`, "must not be here"},
		{"a member that the enumeration lacks", "directoryAudit", `{"result":"perhaps"}`, "is no microsoft.graph.operationResult"},
		{"a text that is no time", "application", `{"createdDateTime":"yesterday"}`, "is no Edm.DateTimeOffset"},
		{"an object in place of a list", "application", `{"keyCredentials":{}}`, "where a list belongs"},
		{"a wrong member deep inside", "directoryAudit", `{"initiatedBy":{"app":{"name":"x"}}}`, "has no such property"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var o map[string]any
			if err := json.Unmarshal([]byte(tc.json), &o); err != nil {
				t.Fatal(err)
			}
			diffs := m.check("microsoft.graph."+tc.typ, tc.typ, o, nil)
			if len(diffs) != 1 || !strings.Contains(diffs[0], tc.want) {
				t.Errorf("got %q, want one that says %q", diffs, tc.want)
			}
		})
	}
}
