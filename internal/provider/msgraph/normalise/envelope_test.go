package normalise

import "testing"

// Defender's stream wraps the rows of hunting as diagnostic settings wrap records.
func TestARowOfHuntingIsTheSameInTheEnvelopeOfDefendersStream(t *testing.T) {
	const row = `{"Timestamp":"2026-05-01T10:00:00Z","ReportId":"r1","ActionType":"MailItemsAccessed","Application":"Microsoft Exchange Online","OAuthAppId":"11111111-1111-4111-8111-111111111111","AccountObjectId":"22222222-2222-4222-8222-222222222222","AccountType":"Regular","IPAddress":"192.0.2.1"}`
	d := New("t")
	alone, err := d.Any([]byte(row))
	if err != nil || alone.Event == nil {
		t.Fatalf("%+v, %v", alone, err)
	}
	wrapped, err := d.Any([]byte(`{"time":"2026-05-01T10:01:00Z","tenantId":"t","operationName":"Publish","category":"AdvancedHunting-CloudAppEvents","properties":` + row + `}`))
	if err != nil || wrapped.Event == nil || wrapped.Event.ID != alone.Event.ID || wrapped.Event.Content != alone.Event.Content {
		t.Errorf("%+v, %v; alone %+v", wrapped, err, alone.Event)
	}
}
