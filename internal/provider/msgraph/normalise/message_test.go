package normalise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/appgovd/appgovd/internal/event"
)

const streamTenant = "5f0c1e6b-1f0e-4f5b-9d51-0d1a3f0b7c11"

// told is what a message told.
type told struct {
	Records []Record
	Sums    []event.RollupKey
	Refused []string // reason: record
}

func tell(d *Decoder, message string, keep func(*event.Event) bool) told {
	var out told
	d.Message([]byte(message), Stream{
		Collect: func(category string) bool { return category != "ProvisioningLogs" }, Keep: keep,
		Sum: func(e *event.Event) {
			k := e.RollupKey()
			k.App, k.Workload, k.Endpoint = strings.Clone(k.App), strings.Clone(k.Workload), strings.Clone(k.Endpoint)
			out.Sums = append(out.Sums, k)
		},
		Take:   func(r Record, _ []byte) { out.Records = append(out.Records, r) },
		Refuse: func(raw []byte, bad error) { out.Refused = append(out.Refused, ReasonOf(bad)+": "+string(raw)) },
	})
	return out
}

// samples are the records of all traps, one to a line.
func samples(t *testing.T) (records []string) {
	t.Helper()
	files, err := filepath.Glob("testdata/traps/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range txtar.Parse(b).Files {
			if f.Name == "records" {
				for line := range strings.Lines(string(f.Data)) {
					if line = strings.TrimSpace(line); strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}") {
						records = append(records, line)
					}
				}
			}
		}
	}
	return records
}

// TestMessageTellsWhatExportedTells: a record within a message, whatever stands around
// it, is what it is by itself.
func TestMessageTellsWhatExportedTells(t *testing.T) {
	all, ok := samples(t), 0
	for _, raw := range all {
		named, err := New(streamTenant).Exported([]byte(raw))
		if err != nil {
			continue
		}
		d := New(named.Tenant)
		want, err := d.Exported([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		ok++
		for name, message := range map[string]string{
			"alone":            raw,
			"in an envelope":   `{"records":[{"category":"ProvisioningLogs","properties":{}},` + raw + `,{}]}`,
			"in a list":        "[" + raw + "]",
			"in a page":        `{"value":[` + raw + `]}`,
			"in a broken list": `{"records":[` + "\n" + raw + "\n",
		} {
			got := tell(d, message, nil)
			if len(got.Records) != 1 {
				t.Errorf("%s: %d records, refused %v: %s", name, len(got.Records), got.Refused, raw)
				continue
			}
			if diff := cmp.Diff(want, got.Records[0]); diff != "" {
				t.Errorf("%s: %s\n%s", name, raw, diff)
			}
		}
	}
	if ok < 20 {
		t.Errorf("%d of %d samples are of the tenant: the test says little", ok, len(all))
	}
}

func activityRecord(id, app, status string) string {
	return fmt.Sprintf(`{"category":"MicrosoftGraphActivityLogs","tenantId":%q,"properties":{"timeGenerated":"2026-03-01T10:00:00.12Z","requestId":%q,"requestMethod":"GET","responseStatusCode":%s,"responseSizeBytes":7,`+
		`"appId":%q,"servicePrincipalId":"sp","userId":"","roles":"","scopes":"","apiVersion":"v1.0","ipAddress":"192.0.2.1","userAgent":"\u0061gent","requestUri":"https://graph.microsoft.com/v1.0/users/x/messages"}}`, streamTenant, id, status, app)
}

// TestMessageSumsUp: what is summed up has the same key as what is kept, and of what
// is kept nothing is missing.
func TestMessageSumsUp(t *testing.T) {
	d := New(streamTenant)
	message := `{"records":[` + strings.Join([]string{activityRecord("1", "a", "200"), activityRecord("2", "b", "404"), activityRecord("", "a", "200"), `7`,
		strings.Replace(activityRecord("3", "a", "200"), streamTenant, "99999999-9999-4999-8999-999999999999", 1), activityRecord("4", "a", "500")}, ",") + `]}`
	all := tell(d, message, nil)
	some := tell(d, message, func(e *event.Event) bool { return e.Call.Status == 404 })
	if len(all.Records) != 3 || len(some.Records) != 1 || len(some.Sums) != 2 {
		t.Fatalf("%d records; %d and %d sums", len(all.Records), len(some.Records), len(some.Sums))
	}
	if diff := cmp.Diff(all.Records[1], some.Records[0]); diff != "" {
		t.Error(diff)
	}
	for i, whole := range []Record{all.Records[0], all.Records[2]} {
		if diff := cmp.Diff(whole.Event.RollupKey(), some.Sums[i]); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(all.Refused, some.Refused); diff != "" || len(all.Refused) != 3 || !strings.HasPrefix(all.Refused[2], "other_tenant: ") {
		t.Errorf("refused %q; %s", all.Refused, diff)
	}
}

func FuzzMessage(f *testing.F) {
	f.Add(`{"records":[` + activityRecord("1", "a", "200") + `]}`)
	f.Add(`{"records":[1,{"category":"AuditLogs","properties":{"id":"x"}}`)
	f.Add(`[{"value":[]}]`)
	f.Fuzz(func(t *testing.T, message string) {
		d := New(streamTenant)
		all := tell(d, message, nil)
		none := tell(d, message, func(*event.Event) bool { return false })
		if len(all.Records)+len(all.Refused) != len(none.Records)+len(none.Refused)+len(none.Sums) {
			t.Errorf("%d records and %d refused; without calls %d, %d and %d", len(all.Records), len(all.Refused), len(none.Records), len(none.Refused), len(none.Sums))
		}
	})
}
