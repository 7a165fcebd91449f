package normalise

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// sampleKind is what a published answer holds, by the path that was asked; ""
// where no decoder of ours is for it.
func sampleKind(url string) string {
	path, _, _ := strings.Cut(strings.TrimPrefix(url, "https://graph.microsoft.com/v1.0/"), "?")
	for _, k := range []struct{ kind, path string }{
		{"audit", `^auditLogs/directoryAudits(/\*)?$`},
		{"signin", `^auditLogs/signIns(/\*)?$`},
		{"alert", `^security/alerts_v2(/\*)?$`},
		{event.ObjectApplication, `^applications(/\*|\(.*\)|/delta)?$`},
		{event.ObjectServicePrincipal, `^servicePrincipals(/\*|\(.*\)|/delta)?$`},
		{event.ObjectDelegatedGrant, `oauth2PermissionGrants(/\*|/delta)?$`},
		{event.ObjectAppRoleAssignment, `appRoleAssign(ments|edTo)(/\*)?$`},
		{event.ObjectRole, `^roleManagement/directory/roleAssignments(/\*)?$`},
		{event.ObjectEligibleRole, `^roleManagement/directory/roleEligibilityScheduleInstances$`},
		{event.ObjectRoleDefinition, `^roleManagement/directory/roleDefinitions$`},
		{event.ObjectPolicy, `^policies/((appManagement|permissionGrant)Policies(/\*)?|(adminConsentRequest|defaultAppManagement)Policy)$`},
		{event.ObjectConsentRequest, `userConsentRequests(/\*)?$`},
		{event.ClassRisk, `^identityProtection/servicePrincipalRiskDetections$`},
	} {
		if regexp.MustCompile(k.path).MatchString(path) {
			return k.kind
		}
	}
	return ""
}

// Every published answer of a type that we know is decoded by the decoder of that
// type. A sample may leave out the id, which no real answer does; nothing else
// may be missing. The types that we do not know are counted.
func TestEveryPublishedSampleOfAKnownTypeIsDecoded(t *testing.T) {
	b := servicetest.Corpus(t, "graph-docs-mocks.json")
	var mocks []struct {
		Request  struct{ URL, Method string }
		Response struct{ Body json.RawMessage }
	}
	if err := json.Unmarshal(b, &mocks); err != nil {
		t.Fatal(err)
	}
	decoded, noID, skipped, empty, repaired := map[string]int{}, 0, map[string]int{}, 0, 0
	for _, m := range mocks {
		body := string(m.Response.Body)
		if json.Unmarshal(m.Response.Body, &body) == nil { // a sample with commas that JSON has not stands there as text
			body = regexp.MustCompile(`([\[{,])(\s*,)+|,(\s*[\]}])`).ReplaceAllString(body, "$1$3")
			repaired++
		}
		kind := sampleKind(m.Request.URL)
		switch {
		case body == "" || body == "null":
			empty++
			continue
		case kind == "":
			skipped[m.Request.Method+" "+m.Request.URL]++
			continue
		}
		if err := Records(strings.NewReader(body), func(raw []byte, bad error) error {
			if bad == nil {
				bad = decodeSample(kind, raw)
			}
			switch {
			case bad == nil:
				decoded[kind]++
			case ReasonOf(bad) == "no_id" && !hasID(raw):
				noID++
			default:
				t.Errorf("%s %s: %v in %s", m.Request.Method, m.Request.URL, bad, raw)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	t.Logf("decoded %v, %d samples without an id, %d answers of other types, %d empty, %d with commas mended: %v", decoded, noID, len(skipped), empty, repaired, skipped)
	for _, kind := range []string{"audit", "signin", "alert", event.ObjectApplication, event.ObjectServicePrincipal, event.ObjectDelegatedGrant, event.ObjectAppRoleAssignment,
		event.ObjectRole, event.ObjectEligibleRole, event.ObjectRoleDefinition, event.ObjectPolicy, event.ObjectConsentRequest, event.ClassRisk} {
		if decoded[kind] == 0 {
			t.Errorf("no %s among the samples", kind)
		}
	}
}

// decodeSample decodes an element by the decoder of its kind.
func decodeSample(kind string, raw []byte) error {
	switch kind {
	case event.ClassRisk:
		_, err := New(tenant).RiskDetection(raw)
		return err
	case event.ObjectPolicy: // one that is alone has no id
		_, _, err := New(tenant).Listed(kind, "sample", raw)
		return err
	case event.ObjectRole, event.ObjectEligibleRole, event.ObjectRoleDefinition, event.ObjectConsentRequest:
		_, _, err := New(tenant).Listed(kind, "", raw)
		return err
	}
	_, err := with(New(tenant), raw, func(w *work, o object) (Record, error) { return w.decode("graph", kind, "", o) })
	return err
}

// What was recorded of a real attack, by three services, is decoded; the rows that
// tell of no app say so.
func TestEveryRecordOfARealAttackIsDecodedOrSaysWhyNot(t *testing.T) {
	want := map[string]string{
		"AADAuditEvents.json":             "map[audit:4]",
		"OfficeActivityEvents.json":       "map[activity:1]",
		"Microsoft365DefenderEvents.json": "map[activity:1 names no app:8]",
	}
	for name, want := range want {
		f := bytes.NewReader(servicetest.Corpus(t, "otrf-golden-saml/"+name))
		got := map[string]int{}
		err := Records(f, func(raw []byte, bad error) error {
			var r Record
			if bad == nil {
				r, bad = New(tenant).Exported(raw)
			}
			switch {
			case bad == nil:
				got[r.Kind]++
			case strings.Contains(bad.Error(), "names no app"):
				got["names no app"]++
			default:
				t.Errorf("%s: %v", name, bad)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%s: %v, want %s", name, got, want)
		}
	}
}

func hasID(raw []byte) bool {
	var o map[string]json.RawMessage
	return json.Unmarshal(raw, &o) == nil && o["id"] != nil
}
