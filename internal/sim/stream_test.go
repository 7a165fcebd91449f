package sim

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// streamed is a record of the stream.
type streamed struct {
	Time, Category, TenantID string
	Properties               json.RawMessage
	inner                    map[string]any
}

// id is what names the record, by its category. Reported.
func (s streamed) id() string {
	for _, name := range []string{"requestId", "id"} {
		if id, _ := s.inner[name].(string); id != "" && (name == "id" || strings.HasSuffix(s.Category, "GraphActivityLogs")) {
			return id
		}
	}
	return ""
}

// sent runs a stream to its end and returns its records, message by message.
func sent(t *testing.T, c *Cloud, categories ...string) (out [][]streamed) {
	t.Helper()
	err := c.Stream(t.Context(), categories, func(_ context.Context, messages [][]byte) error {
		for _, m := range messages {
			var env struct{ Records []streamed }
			if err := json.Unmarshal(m, &env); err != nil || len(env.Records) == 0 || len(m) > 1<<20 {
				t.Fatalf("%d bytes, %v: %.300s", len(m), err, m)
			}
			for i := range env.Records {
				if err := json.Unmarshal(env.Records[i].Properties, &env.Records[i].inner); err != nil {
					t.Fatal(err)
				}
			}
			out = append(out, env.Records)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Every record that the cloud issues is sent as often as it is listed, what Graph has
// under the same id, with the same properties each time it comes as a copy; some are out
// of order, several to a message.
func TestTheStreamSendsWhatTheLogsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Options{Seed: 7, Apps: 40, Users: 30, Events: 2000, Calls: 1500, EventsPerSecond: 200, Late: 0.1, Duplicates: 0.1, Scenario: "consent_campaign"})
		if err != nil {
			t.Fatal(err)
		}
		copies, same, changed := map[string]int{}, map[string]string{}, map[string]bool{}
		several, disorder, last := 0, 0, time.Time{}
		risks := map[string]bool{}
		for _, m := range sent(t, c) {
			if len(m) > 1 {
				several++
			}
			for _, r := range m {
				id := r.id()
				if strings.Contains(r.Category, "Risk") {
					risks[id] = true
					if _, err := time.Parse("1/2/2006 3:04:05 PM", r.Time); err != nil {
						t.Error(err)
					}
					continue
				}
				copies[id]++
				if was, ok := same[id]; ok && was != string(r.Properties) {
					changed[id] = true
				}
				same[id] = string(r.Properties)
				if at, err := time.Parse(time.RFC3339Nano, r.Time); err != nil || r.TenantID != c.TenantID() || r.Category != m[0].Category {
					t.Fatalf("%v: %+v", err, r)
				} else if at.Before(last) {
					disorder++
				} else {
					last = at
				}
			}
		}
		for _, is := range c.Issued() {
			want := is.Copies
			if is.Kind == "alert" {
				want = 0
			}
			if is.Enriched {
				want++
			}
			if copies[is.ID] != want || is.Enriched && is.Kind != "call" && is.Kind != "call_legacy" && !changed[is.ID] {
				t.Errorf("%s %s was sent %d times, changed %v: %+v", is.Kind, is.ID, copies[is.ID], changed[is.ID], is)
			}
			if changed[is.ID] && !is.Enriched {
				t.Errorf("%s %s changed", is.Kind, is.ID)
			}
			delete(copies, is.ID)
		}
		for _, id := range c.Traits()["servicePrincipalRiskDetections"] {
			if !risks[id] {
				t.Errorf("detection %s was not sent", id)
			}
		}
		if len(copies) > 0 || several == 0 || disorder == 0 || len(risks) == 0 {
			t.Errorf("%d records were never issued; %d messages of several records, %d out of order, %d of risk", len(copies), several, disorder, len(risks))
		}
	})
}

// A record of the stream is the Graph object with another text of its time, and a call
// names the sign-in that led to its token.
func TestAStreamedRecordAgreesWithGraph(t *testing.T) {
	cl := newClient(t, Options{Apps: 40, Events: 600, Calls: 300})
	cl.clock.now = cl.cloud.Complete()
	graph := map[string]map[string]any{}
	tokens := map[string]string{} // of sign-ins, to their apps
	for _, k := range logKinds() {
		items, _ := cl.all(logPath(k, epoch().Add(-24*time.Hour), cl.clock.now))
		for _, o := range items {
			graph[o["id"].(string)] = o
			if token, _ := o["uniqueTokenIdentifier"].(string); token != "" {
				tokens[token], _ = o["appId"].(string)
			}
		}
	}
	joined, calls, agreed := 0, 0, 0
	for _, m := range sent(t, cl.cloud, "AuditLogs", "SignInLogs", "ServicePrincipalSignInLogs", "MicrosoftGraphActivityLogs") {
		for _, r := range m {
			if r.Category == "MicrosoftGraphActivityLogs" {
				calls++
				if app, ok := tokens[r.inner["signInActivityId"].(string)]; ok {
					joined++
					if app != r.inner["appId"] {
						t.Errorf("a call of %s by a token of %s", r.inner["appId"], app)
					}
				}
				continue
			}
			o := graph[r.id()]
			for name, v := range o {
				if got, _ := json.Marshal(r.inner[name]); name != "createdDateTime" {
					if want, _ := json.Marshal(v); string(got) != string(want) {
						t.Errorf("%s: %s is %s, %s in Graph", r.id(), name, got, want)
					}
					continue
				}
				a, err1 := time.Parse(time.RFC3339Nano, v.(string))
				b, err2 := time.Parse(time.RFC3339Nano, r.inner[name].(string))
				if err1 != nil || err2 != nil || !a.Equal(b) {
					t.Errorf("%s, in Graph %s", b, a)
				}
			}
			if o != nil {
				agreed++
			}
		}
	}
	if agreed < 300 || calls < 200 || joined < calls/3 { // interactive sign-ins of v1.0 do not show theirs
		t.Errorf("%d records agree, %d of %d calls name a sign-in", agreed, joined, calls)
	}
}

func TestAStreamEndsWithItsReceiver(t *testing.T) {
	cl := newClient(t, Options{Apps: 10, Events: 10})
	full := errors.New("full")
	if err := cl.cloud.Stream(t.Context(), nil, func(context.Context, [][]byte) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
	if err := cl.cloud.Stream(t.Context(), []string{"Audit"}, nil); err == nil || !strings.Contains(err.Error(), `no category "Audit"`) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	late := newClient(t, Options{Apps: 10, Events: 1000, EventsPerSecond: 1})
	err := late.cloud.Stream(ctx, slices.Clone(Categories())[:5], func(context.Context, [][]byte) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
