package sim

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// The stream of diagnostic settings: the records of the logs once more, in envelopes,
// as Azure sends them to an Event Hub. Documented: {"records":[…]}, one hub for each
// category or one for all, at most 1 MB of one message. Reported: names, times and
// traps of the envelopes, by category; that a record is sent up to four times, with
// the same properties and another time around them; that the Graph object is in
// properties, and its id the one that Graph shows. Assumed: how many records are in a
// message, that each message has one category, and that the messages of one moment
// come in no order.

const (
	streamPace   = 200 * time.Millisecond
	streamMost   = 40      // records of one message
	streamBytes  = 900_000 // of one message, about
	levelPlain   = "Informational"
	levelSignIn  = "4" // also on failures: reported
	levelOfRisks = "Information"
)

// Categories are those of the diagnostic settings that the cloud has records of.
func Categories() []string {
	return []string{"AuditLogs", "SignInLogs", "NonInteractiveUserSignInLogs", "ServicePrincipalSignInLogs", "ManagedIdentitySignInLogs", "MicrosoftServicePrincipalSignInLogs",
		"MicrosoftGraphActivityLogs", "AzureADGraphActivityLogs", "ServicePrincipalRiskEvents", "RiskyServicePrincipals", "UserRiskEvents", "RiskyUsers"}
}

// category of a record's kind; "" for what no diagnostic setting tells.
func (k kind) category() string {
	return [...]string{
		kindAudit: "AuditLogs", kindInteractive: "SignInLogs", kindNonInteractive: "NonInteractiveUserSignInLogs", kindServicePrincipal: "ServicePrincipalSignInLogs",
		kindManagedIdentity: "ManagedIdentitySignInLogs", kindAlert: "", kindMicrosoft: "MicrosoftServicePrincipalSignInLogs", kindCall: "MicrosoftGraphActivityLogs", kindLegacyCall: "AzureADGraphActivityLogs",
	}[k]
}

// delivery is one sending of one record: at a time, made when it is sent.
type delivery struct {
	at       int64
	category string
	look     func(sent time.Time) object
}

// Stream sends the records of some categories as they become visible, with their
// repetitions, until all were sent or ctx ends; categories without a name are all of
// them. send gets the messages of one moment and comes back once they are taken: an
// error ends the stream, and what it got may have been taken or not.
func (c *Cloud) Stream(ctx context.Context, categories []string, send func(context.Context, [][]byte) error) error {
	if len(categories) == 0 {
		categories = Categories()
	}
	for _, name := range categories {
		if !slices.Contains(Categories(), name) {
			return fmt.Errorf("stream records: no category %q", name)
		}
	}
	left := c.deliveries(categories)
	tick := time.NewTicker(streamPace)
	defer tick.Stop()
	for turn := uint64(0); ; turn++ {
		n, _ := slices.BinarySearchFunc(left, c.o.Now().UnixNano()+1, func(d delivery, t int64) int { return cmp.Compare(d.at, t) })
		if n > 0 {
			if err := send(ctx, c.messages(left[:n], turn)); err != nil {
				return fmt.Errorf("stream records: %w", err)
			}
			left = left[n:]
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// deliveries are all that is to be sent, in order of time.
func (c *Cloud) deliveries(categories []string) []delivery {
	var out []delivery
	for i := range c.recs {
		rec, n := c.recs[i], uint32(i+1)
		category := rec.kind.category()
		if category == "" || !slices.Contains(categories, category) {
			continue
		}
		look := func(asOf int64) func(time.Time) object {
			return func(sent time.Time) object { return c.envelope(n, rec, asOf, sent) }
		}
		for nth := range int64(rec.copies) {
			out = append(out, delivery{rec.published + nth*int64(copyAfter), category, look(rec.published)})
		}
		if rec.enriched { // assumed; reported for records of risk
			at := rec.published + int64(enrichAfter)
			out = append(out, delivery{at, category, look(at)})
		}
	}
	out = append(out, slices.DeleteFunc(c.risks(), func(d delivery) bool { return !slices.Contains(categories, d.category) })...)
	slices.SortStableFunc(out, func(a, b delivery) int { return cmp.Compare(a.at, b.at) })
	return out
}

// messages packs the records of one moment, in no order.
func (c *Cloud) messages(due []delivery, turn uint64) (out [][]byte) {
	r := c.random(domStream, turn)
	sent := c.o.Now()
	due = slices.Clone(due)
	for i := len(due) - 1; i > 0; i-- {
		j := r.intn(i + 1)
		due[i], due[j] = due[j], due[i]
	}
	slices.SortStableFunc(due, func(a, b delivery) int { return cmp.Compare(a.category, b.category) })
	for len(due) > 0 {
		of, most := due[0].category, 1+r.intn(streamMost)
		m := []byte(`{"records":[`)
		n := 0
		for ; n < min(most, len(due)) && due[n].category == of && len(m) < streamBytes; n++ {
			if n > 0 {
				m = append(m, ',')
			}
			m = appendObject(m, due[n].look(sent))
		}
		due, out = due[n:], append(out, append(m, "]}"...))
	}
	for i := len(out) - 1; i > 0; i-- {
		j := r.intn(i + 1)
		out[i], out[j] = out[j], out[i]
	}
	return out
}

// envelope is a record as it looks at a moment, in what is sent at another one.
func (c *Cloud) envelope(n uint32, rec record, asOf int64, sent time.Time) object {
	inner := c.record(n, asOf, true)
	switch rec.kind {
	case kindAudit:
		return c.auditEnvelope(rec, inner)
	case kindCall, kindLegacyCall:
		return c.callEnvelope(rec, inner)
	}
	return c.signInEnvelope(rec, inner, sent)
}

// auditEnvelope: the time around it is the record's, in another text.
func (c *Cloud) auditEnvelope(rec record, inner object) object {
	return object{
		{"time", rec.at().Format("2006-01-02T15:04:05.000000-07:00")}, {"resourceId", "/tenants/" + c.o.TenantID + "/providers/Microsoft.aadiam"},
		{"operationName", inner.text("activityDisplayName")}, {"operationVersion", "1.0"}, {"category", rec.kind.category()}, {"tenantId", c.o.TenantID},
		{"resultSignature", "None"}, {"resultDescription", inner.text("resultReason")}, {"durationMs", 0}, {"correlationId", inner.text("correlationId")}, {"Level", levelPlain}, {"properties", inner},
	}
}

// signInEnvelope: the time around it is that of ingestion, later than the record's;
// inside are seven digits and an offset of hours. The sample of a managed identity had
// neither callerIpAddress nor location.
func (c *Cloud) signInEnvelope(rec record, inner object, sent time.Time) object {
	inner = inner.with("createdDateTime", rec.at().Format("2006-01-02T15:04:05.0000000-07:00"))
	status, _ := inner.get("status").(object)
	code, _ := status.get("errorCode").(int)
	signature := "SUCCESS"
	if code != 0 {
		signature = "FAILURE"
	}
	out := object{
		{"time", ticks(sent)}, {"resourceId", "/tenants/" + c.o.TenantID + "/providers/Microsoft.aadiam"}, {"operationName", "Sign-in activity"}, {"operationVersion", "1.0"},
		{"category", rec.kind.category()}, {"tenantId", c.o.TenantID}, {"resultType", fmtInt(code)}, {"resultSignature", signature}, {"durationMs", 0},
		{"correlationId", inner.text("correlationId")}, {"identity", inner.text("appDisplayName")}, {"Level", levelSignIn},
	}
	if place, _ := inner.get("location").(object); rec.kind != kindManagedIdentity {
		out = append(out, member{"callerIpAddress", inner.text("ipAddress")}, member{"location", place.text("countryOrRegion")})
	}
	return append(out, member{"properties", inner})
}

// callEnvelope: durationMs is a text outside and a number inside, the tenant is in
// capitals in resourceId.
func (c *Cloud) callEnvelope(rec record, inner object) object {
	name := "Microsoft Graph Activity"
	if rec.kind == kindLegacyCall {
		name = "Azure AD Graph Activity" // assumed
	}
	return object{
		{"time", inner.text("timeGenerated")}, {"resourceId", "/TENANTS/" + c.o.TenantID + "/PROVIDERS/MICROSOFT.AADIAM"}, {"operationName", name}, {"operationVersion", inner.text("apiVersion")},
		{"category", rec.kind.category()}, {"resultSignature", fmt.Sprint(inner.get("responseStatusCode"))}, {"durationMs", fmt.Sprint(inner.get("durationMs"))},
		{"callerIpAddress", inner.text("ipAddress")}, {"correlationId", inner.text("requestId")}, {"level", levelPlain}, {"location", inner.text("location")}, {"tenantId", c.o.TenantID},
		{"properties", inner},
	}
}

// riskEnvelope: the time around it is a text of the United States without a zone, and
// inside is a copy of riskEventType that Graph does not have. Reported of users;
// assumed of apps, which nobody has seen.
func (c *Cloud) riskEnvelope(category string, at time.Time, inner object) object {
	if kind := inner.text("riskEventType"); kind != "" {
		inner = append(slices.Clone(inner), member{"riskType", kind})
	}
	return object{
		{"time", at.Format("1/2/2006 3:04:05 PM")}, {"resourceId", "/tenants/" + c.o.TenantID + "/providers/microsoft.aadiam"}, {"operationName", category}, {"operationVersion", "1.0"},
		{"category", category}, {"tenantId", c.o.TenantID}, {"resultSignature", "None"}, {"durationMs", 0}, {"correlationId", inner.text("id")}, {"Level", levelOfRisks}, {"properties", inner},
	}
}

// risks are the records of Identity Protection, which are there from the beginning.
func (c *Cloud) risks() (out []delivery) {
	add := func(category string, at time.Time, inner object) {
		out = append(out, delivery{c.o.Start.UnixNano(), category, func(time.Time) object { return c.riskEnvelope(category, at, inner) }})
	}
	for _, a := range c.risky() {
		at := c.o.Start.Add(-time.Hour)
		add("RiskyServicePrincipals", at, c.riskOf(a, a.spID, "high", "atRisk", "none", at))
		for n := range detectionsEach {
			inner, at := c.detection(a, n)
			add("ServicePrincipalRiskEvents", at, inner)
		}
	}
	for i := 3; i < c.o.Users; i += 10 {
		u, at := c.user(i), c.o.Start.Add(-time.Duration(i)*time.Minute)
		risk := object{{"riskLevel", "low"}, {"riskState", "atRisk"}, {"riskDetail", "none"}, {"userDisplayName", u.name}, {"userPrincipalName", u.upn}}
		add("RiskyUsers", at, append(object{{"id", u.id}, {"isDeleted", false}, {"isProcessing", false}, {"riskLastUpdatedDateTime", millis(at)}}, risk...))
		id := c.random(domStream, uint64(i)|1<<40).guid()
		add("UserRiskEvents", at, append(object{{"id", id}, {"userId", u.id}, {"riskEventType", "unfamiliarFeatures"}, {"source", "IdentityProtection"}, {"detectedDateTime", millis(at)}, {"activityDateTime", millis(at)}, {"lastUpdatedDateTime", millis(at)}}, risk...))
	}
	return out
}
