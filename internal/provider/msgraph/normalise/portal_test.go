package normalise

import "testing"

// The columns of the admin center's sheets tell users from apps, the names of its files
// the rest; a name that somebody else gave tells nothing, and what columns say stays.
func TestNamesOfSheets(t *testing.T) {
	const (
		users = `{"Date (UTC)":"2026-03-01T10:00:00Z","Request ID":"s-1","Username":"alice@contoso.example","Managed Identity type":""}`
		apps  = `{"Date (UTC)":"2026-03-01T10:00:00Z","Request ID":"s-2","Service principal ID":"sp-1","Managed Identity type":"None"}`
		own   = `{"Date (UTC)":"2026-03-01T10:00:00Z","Request ID":"s-3","Service principal ID":"sp-1","Managed Identity type":"System assigned"}`
		graph = `{"id":"s-4","createdDateTime":"2026-03-01T10:00:00Z","status":{"errorCode":0},"ipAddress":"192.0.2.1","isInteractive":true}`
	)
	d := New("11111111-1111-4111-8111-111111111111")
	for _, x := range []struct{ record, file, kind string }{
		{users, "InteractiveSignIns_2026-03-01_2026-03-02.csv", "interactive"},
		{users, "NonInteractiveSignIns_2026-03-01_2026-03-02.csv", "non_interactive"},
		{users, "sheet.csv", ""},
		{apps, "ApplicationSignIns_2026-03-01_2026-03-02.csv", "service_principal"},
		{apps, "MSISignIns_2026-03-01_2026-03-02.csv.gz", "managed_identity"},
		{apps, "InteractiveSignIns.csv", "service_principal"},
		{own, "sheet.csv", "managed_identity"},
		{graph, "NonInteractiveSignIns.json", "interactive"},
	} {
		r, err := d.Exported([]byte(x.record))
		if err != nil {
			t.Fatal(err)
		}
		r.NameSheet(x.file)
		if r.Event.SignIn.Kind != x.kind {
			t.Errorf("%s in %s: kind %q, want %q", r.Event.UpstreamID, x.file, r.Event.SignIn.Kind, x.kind)
		}
	}
	audit, err := d.Exported([]byte(`{"Date (UTC)":"2026-03-01T10:00:00Z","CorrelationId":"c","Activity":"Add user","Result":"success"}`))
	if audit.NameSheet("InteractiveSignIns.csv"); err != nil || audit.Event.SignIn.Kind != "" {
		t.Errorf("an audit: %v, %+v", err, audit.Event)
	}
}
