package normalise

import (
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// The admin center of Entra exports its logs as CSV whose columns are the texts of its
// pages. A row is written as the Graph record that it was made of, as far as it
// tells, and decoded as that; ids and times are the same.
// https://learn.microsoft.com/entra/identity/monitoring-health/howto-download-logs

const portalTime = "Date (UTC)"

// portalSignInColumns are the columns of the sheets of sign-ins: of users, of service
// principals, of managed identities.
func portalSignInColumns() [][2]string {
	return [][2]string{
		{"id", "Request ID"}, {"correlationId", "Correlation ID"}, {"userAgent", "User agent"}, {"userId", "User ID"}, {"userDisplayName", "User"}, {"userPrincipalName", "Username"},
		{"userType", "User type"}, {"authenticationProtocol", "Authentication Protocol"}, {"uniqueTokenIdentifier", "Unique token identifier"}, {"clientCredentialType", "Client credential type"},
		{"appDisplayName", "Application"}, {"appId", "Application ID"}, {"appOwnerTenantId", "App owner tenant ID"}, {"resourceDisplayName", "Resource"}, {"resourceId", "Resource ID"},
		{"resourceOwnerTenantId", "Resource owner tenant ID"}, {"ipAddress", "IP address"}, {"clientAppUsed", "Client app"}, {"sessionId", "Session ID"},
		{"autonomousSystemNumber", "Autonomous system number"}, {"servicePrincipalId", "Service principal ID"}, {"servicePrincipalName", "Service principal name"},
		{"servicePrincipalCredentialKeyId", "Credential key ID"}, {"servicePrincipalCredentialKeyId", "Service principal credential key ID"},
		{"servicePrincipalCredentialThumbprint", "Credential thumbprint"}, {"servicePrincipalCredentialThumbprint", "Service principal credential thumbprint"},
		{"conditionalAccessStatus", "Conditional Access"},
	}
}

// portalKind tells a row of such a sheet; "" = none.
func portalKind(o object) string {
	switch {
	case !o.has(portalTime):
		return ""
	case o.has("Request ID"):
		return "signin"
	case o.has("Activity"):
		return "audit"
	}
	return ""
}

// portal decodes a row of a sheet of the admin center.
func (w *work) portal(e *event.Event, kind string, o object) error {
	if kind != "signin" {
		return w.audit(e, w.inner.objectIn(portalAudit(o)))
	}
	stream := portalStream(o)
	err := w.signIn(e, or(stream, "interactive"), w.inner.objectIn(portalSignIn(o)))
	e.SignIn.Kind = stream
	return err
}

// portalStream is the kind of sign-in; "" where the sheet is one of users, whose columns
// are the same for interactive ones and others.
func portalStream(o object) string {
	switch kind := o.str("Managed Identity type"); {
	case kind != "" && !strings.EqualFold(kind, "none"):
		return "managed_identity"
	case o.has("Service principal ID") || o.has("Service principal name"):
		return "service_principal"
	}
	return ""
}

// NameSheet sets the kind of a sign-in of a sheet of the admin center that its columns
// do not tell and the name of its file does, if nobody gave it another one:
// "NonInteractiveSignIns_2026-03-01_2026-03-02.csv". The sheet of managed identities has
// the columns of service principals.
func (r *Record) NameSheet(file string) {
	if r.Shape != "portal" || r.Event == nil || r.Event.Class != event.ClassSignIn {
		return
	}
	kind, file := &r.Event.SignIn.Kind, strings.ToLower(file)
	switch {
	case *kind == "" && strings.Contains(file, "noninteractivesignins"):
		*kind = "non_interactive"
	case *kind == "" && strings.Contains(file, "interactivesignins"):
		*kind = "interactive"
	case *kind == "service_principal" && strings.Contains(file, "msisignins"):
		*kind = "managed_identity"
	}
}

func portalSignIn(o object) string {
	j := writer{}
	j.open('{')
	j.text("createdDateTime", portalInstant(o))
	written := map[string]bool{}
	for _, c := range portalSignInColumns() {
		s := o.str(c[1])
		switch c[0] {
		case "conditionalAccessStatus":
			s = strings.ReplaceAll(s, " ", "")
		case "clientCredentialType":
			s = camel(s)
		case "userType":
			s = strings.ToLower(s)
		}
		if !written[c[0]] {
			written[c[0]] = s != ""
			j.text(c[0], s)
		}
	}
	j.name("status")
	j.open('{')
	code := o.str("Sign-in error code")
	if code == "" && strings.EqualFold(o.str("Status"), "success") {
		code = "0"
	}
	if n, err := strconv.Atoi(code); err == nil {
		j.name("errorCode")
		j.raw(strconv.Itoa(n))
	}
	j.text("failureReason", o.str("Failure reason"))
	j.close('}')
	j.portalPlace(o.str("Location"))
	j.close('}')
	return string(j.out)
}

// portalPlace writes "City, State, Country".
func (j *writer) portalPlace(s string) {
	parts := strings.Split(s, ",")
	if len(parts) < 2 {
		return
	}
	j.name("location")
	j.open('{')
	j.text("city", strings.TrimSpace(parts[0]))
	j.text("countryOrRegion", strings.TrimSpace(parts[len(parts)-1]))
	j.close('}')
}

// camel writes "Client secret" as Graph does: clientSecret.
func camel(s string) string {
	words := strings.Fields(s)
	for i, word := range words {
		first := strings.ToUpper(word[:1])
		if i == 0 {
			first = strings.ToLower(first)
		}
		words[i] = first + word[1:]
	}
	return strings.Join(words, "")
}

// portalInstant is the time, which some versions of the portal write without a zone.
func portalInstant(o object) string {
	s := o.str(portalTime)
	if len(s) < len("2006-01-02 15:04:05") || s[4] != '-' || s[10] != ' ' && s[10] != 'T' {
		return s
	}
	s = s[:10] + "T" + s[11:]
	if strings.ContainsAny(s[11:], "Zz+-") {
		return s
	}
	return s + "Z"
}

// The sheet numbers targets, their properties, and details.
const (
	portalTargets    = 20
	portalProperties = 50
)

// portalAudit: the sheet has no id of the record. Its rows are told apart by all that
// they say.
func portalAudit(o object) string {
	j := writer{}
	j.open('{')
	j.text("activityDateTime", portalInstant(o))
	for _, c := range [][2]string{{"correlationId", "CorrelationId"}, {"loggedByService", "Service"}, {"category", "Category"}, {"activityDisplayName", "Activity"}, {"resultReason", "ResultReason"}} {
		j.text(c[0], o.str(c[1]))
	}
	j.text("result", strings.ToLower(o.str("Result")))
	j.portalActor(o)
	j.name("targetResources")
	j.open('[')
	for n := 1; n <= portalTargets; n++ {
		j.portalTarget(o, "Target"+strconv.Itoa(n))
	}
	j.close(']')
	j.name("additionalDetails")
	j.open('[')
	if agent := o.str("User Agent", "UserAgent"); agent != "" {
		j.pair("key", "User-Agent", "value", agent)
	}
	for n := 1; n <= portalProperties; n++ {
		if key := o.str("AdditionalDetail" + strconv.Itoa(n) + "Key"); key != "" {
			j.pair("key", key, "value", o.str("AdditionalDetail"+strconv.Itoa(n)+"Value"))
		}
	}
	j.close(']')
	h := event.HashContent(j.out)
	j.text("id", "Portal_"+o.str("CorrelationId")+"_"+hex.EncodeToString(h[:8]))
	j.close('}')
	return string(j.out)
}

func (j *writer) portalActor(o object) {
	j.name("initiatedBy")
	j.open('{')
	if strings.EqualFold(o.str("ActorType"), "User") {
		j.name("user")
		j.open('{')
		j.text("id", o.str("ActorObjectId"))
		j.text("displayName", o.str("ActorDisplayName"))
		j.text("userPrincipalName", o.str("ActorUserPrincipalName"))
	} else {
		j.name("app")
		j.open('{')
		j.text("displayName", or(o.str("ActorDisplayName"), o.str("ActorServicePrincipalName")))
		j.text("servicePrincipalId", or(o.str("ActorServicePrincipalId"), o.str("ActorObjectId")))
	}
	j.text("ipAddress", o.str("IPAddress"))
	j.close('}')
	j.close('}')
}

func (j *writer) portalTarget(o object, at string) {
	if !o.has(at+"ObjectId") && !o.has(at+"DisplayName") && !o.has(at+"Type") {
		return
	}
	j.open('{')
	j.text("id", o.str(at+"ObjectId"))
	j.text("type", o.str(at+"Type"))
	j.text("displayName", o.str(at+"DisplayName"))
	j.text("userPrincipalName", o.str(at+"UserPrincipalName"))
	j.name("modifiedProperties")
	j.open('[')
	for n := 1; n <= portalProperties; n++ {
		p := at + "ModifiedProperty" + strconv.Itoa(n)
		if name := o.str(p + "Name"); name != "" {
			j.open('{')
			j.text("displayName", name)
			j.text("oldValue", o.str(p+"OldValue"))
			j.text("newValue", o.str(p+"NewValue"))
			j.close('}')
		}
	}
	j.close(']')
	j.close('}')
}

// writer writes JSON; commas come by themselves.
type writer struct{ out []byte }

func (j *writer) comma() {
	if n := len(j.out); n > 0 && strings.IndexByte("{[:", j.out[n-1]) < 0 {
		j.out = append(j.out, ',')
	}
}

func (j *writer) open(bracket byte) {
	j.comma()
	j.out = append(j.out, bracket)
}

func (j *writer) close(bracket byte) { j.out = append(j.out, bracket) }

func (j *writer) name(s string) {
	j.comma()
	j.out = append(quoted(j.out, s), ':')
}

func (j *writer) raw(s string) { j.out = append(j.out, s...) }

// text writes a member, unless it says nothing.
func (j *writer) text(name, s string) {
	if s != "" {
		j.name(name)
		j.out = quoted(j.out, s)
	}
}

func (j *writer) pair(name, value, other, second string) {
	j.open('{')
	j.text(name, value)
	j.text(other, second)
	j.close('}')
}
