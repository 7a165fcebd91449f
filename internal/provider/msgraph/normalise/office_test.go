package normalise

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

const officeCredential = `{"CreationTime":"2026-03-01T10:00:00","Id":"i","Operation":"Add service principal credentials.","RecordType":8,"Workload":"AzureActiveDirectory","UserId":"alice@contoso.example",` +
	`"ModifiedProperties":[{"Name":"Credential","NewValue":"hush","OldValue":"{\"x\":\"hush\"}"},{"Name":"Other","NewValue":"kept"}]}`

func TestTheUnifiedLogKeepsNoCredential(t *testing.T) {
	text, err := json.Marshal(officeCredential)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range []string{officeCredential, `{"AuditData":` + string(text) + `}`, `{"auditData":` + officeCredential + `}`} {
		r, err := New(tenant).Exported([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		if stored := string(event.AppendEvent(nil, r.Event)); strings.Contains(stored, "hush") || !strings.Contains(stored, "kept") || r.Event.Action != event.ActionCredentialAdded {
			t.Errorf("%s: %s", r.Event.Action, stored)
		}
	}
}

func TestAnAuditDataThatWasCutIsTold(t *testing.T) {
	_, err := New(tenant).Exported([]byte(`{"RecordType":"8","Operation":"x","AuditData":"{\"CreationTime\":\"2026-03-01T10"}`))
	if ReasonOf(err) != "not_json" || !strings.Contains(err.Error(), "a spreadsheet that saves such a file cuts cells") {
		t.Error(err)
	}
}

// The search of the portal exports CSV whose AuditData is the record.
func TestASheetOfTheUnifiedLogIsRead(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("RecordId,CreationDate,RecordType,Operation,UserId,AuditData,AssociatedAdminUnits\n")
	b.WriteString(`i,2026-03-01T10:00:00.0000000Z,8,x,alice,"` + strings.ReplaceAll(officeCredential, `"`, `""`) + `",` + "\n")
	if diff := cmp.Diff(meanings(t, []byte(officeCredential)), meanings(t, b.Bytes())); diff != "" {
		t.Errorf("(-line +sheet)\n%s", diff)
	}
}

// What the attacker's app read from a mailbox is told by the row of a workspace.
func TestARealMailboxReadNamesItsApp(t *testing.T) {
	raw := servicetest.Corpus(t, "otrf-golden-saml/OfficeActivityEvents.json")
	r, err := New(tenant).Exported(bytes.TrimSpace(raw))
	if err != nil {
		t.Fatal(err)
	}
	e := r.Event
	got := []string{r.Shape, r.Tenant, e.Action, e.Activity, e.App.AppID, e.Resource.AppID, e.Actor.UPN, e.Target.UPN, e.UpstreamID, string(e.Result)}
	want := []string{"office365", tenant, event.ActionAppActivity, "MailItemsAccessed", "5a95e683-08ad-424e-a441-1d1aec52c02c", "00000003-0000-0000-c000-000000000000",
		"pgustavo@simulandlabs.com", "pgustavo@simulandlabs.com", "699e0b10-1c53-403e-976f-ce0847a92b44", string(event.ResultSuccess)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Reading a message and reading a folder are told apart; where the log stops telling,
// rules can ask for it.
func TestMailboxReadsTellHowAndWhenTheyAreNoLongerTold(t *testing.T) {
	const record = `{"CreationTime":"2026-03-01T10:00:00","Id":"i","Operation":"MailItemsAccessed","RecordType":50,"Workload":"Exchange","UserId":"a@contoso.example",` +
		`"ClientAppId":"11111111-0000-0000-0000-000000000001","AppId":"00000003-0000-0000-c000-000000000000","MailboxOwnerUPN":"a@contoso.example",` +
		`"OperationProperties":[{"Name":"MailAccessType","Value":"ACCESS"},{"Name":"IsThrottled","Value":"STOPPED"}]}`
	for _, tt := range []struct{ access, stopped, gap string }{{"Bind", "False", ""}, {"Sync", "False", ""}, {"Bind", "True", "24h"}} {
		e, tells, err := New(tenant).Office([]byte(strings.NewReplacer("ACCESS", tt.access, "STOPPED", tt.stopped).Replace(record)))
		if err != nil || !tells {
			t.Fatal(tells, err)
		}
		details := map[string]string{}
		for _, d := range e.Details {
			details[d.Name] = d.Value
		}
		if details["MailAccessType"] != tt.access || details["EvidenceGap"] != tt.gap || (len(e.Notes) > 0) != (tt.gap != "") {
			t.Errorf("%v: %v, notes %v", tt, details, e.Notes)
		}
		if e.App.AppID != "11111111-0000-0000-0000-000000000001" || e.Resource.AppID != "00000003-0000-0000-c000-000000000000" {
			t.Errorf("app %+v, API %+v", e.App, e.Resource)
		}
	}
}

func TestTheUnifiedLogTellsWhatItTellsOfApps(t *testing.T) {
	const head = `{"CreationTime":"2026-03-01T10:00:00","Id":"i","Operation":"x",`
	for _, tt := range []struct {
		story, raw string
		tells      bool
		reason     string
	}{
		{"no app", head + `"RecordType":6,"Workload":"SharePoint"}`, false, ""},
		{"a record of app governance that names none", head + `"RecordType":117,"Workload":"AppGovernance","Data":{"kept":1}}`, true, ""},
		{"no record of the log", `{"id":"i"}`, false, "unknown_shape"},
		{"no id", `{"CreationTime":"2026-03-01T10:00:00","Operation":"x","RecordType":6,"Workload":"SharePoint"}`, false, "no_id"},
		{"no JSON", `{`, false, "not_json"},
	} {
		e, tells, err := New(tenant).Office([]byte(tt.raw))
		if tells != tt.tells || (err != nil) != (tt.reason != "") || err != nil && ReasonOf(err) != tt.reason {
			t.Errorf("%s: %v %v", tt.story, tells, err)
		}
		if tells && (e.Category != "117" || !strings.Contains(string(e.Raw), `"kept":1`)) {
			t.Errorf("%s: %+v", tt.story, e)
		}
	}
}
