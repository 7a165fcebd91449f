package normalise

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
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
	raw, err := os.ReadFile("../../../../../shared/corpus/otrf-golden-saml/OfficeActivityEvents.json")
	if err != nil {
		t.Skip("SKIPPED: the corpus is not here: ", err)
	}
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
