package sim

import (
	"strconv"
	"strings"
	"time"
)

// alert is one app-governance alert with the states that it goes through.
type alert struct {
	number   uint32
	title    string
	severity string
	category string
	tactics  []string
	appID    string
	appName  string
	service  string // serviceSource
	source   string // detectionSource
	padding  int
	states   []alertState
}

type alertState struct {
	at             time.Time
	status         string
	classification any
}

// state is the newest state at a moment. The alert is updated in place:
// documented. Reported: lastUpdateDateTime can be months after creation.
func (a *alert) state(at time.Time) alertState {
	s := a.states[0]
	for _, next := range a.states[1:] {
		if !next.at.After(at) {
			s = next
		}
	}
	return s
}

func (a *alert) created() time.Time { return a.states[0].at }

const appGovernance = "microsoftAppGovernance"

// makeAlerts makes the background's alerts: resolved long ago, and some of
// other products, which a filter must keep out.
func (c *Cloud) makeAlerts() {
	for i := range c.o.Alerts {
		r := c.random(domAlert, uint64(i))
		created := c.o.cut(c.o.Start.Add(-c.o.History + time.Duration(r.float()*float64(c.o.History/2))).Truncate(time.Microsecond))
		a := c.base[len(c.cat.resources)+i%c.o.Apps]
		c.addAlert("background alert", alert{
			title: "Overprivileged app", severity: "informational", category: "SuspiciousActivity", appID: a.appID, appName: a.name,
			service: appGovernance, source: "appGovernancePolicy", padding: 3800,
			states: []alertState{{created, "new", nil}, {created.Add(time.Hour), "resolved", "informationalExpectedActivity"}},
		})
	}
	for i, service := range []string{"microsoftDefenderForCloudApps", "azureAdIdentityProtection"} {
		at := c.o.Start.Add(-time.Duration(i+1) * time.Hour)
		c.alerts = append(c.alerts, alert{
			title: "Impossible travel activity", severity: "medium", category: "InitialAccess", service: service,
			source: "cloudAppSecurity", states: []alertState{{at, "new", nil}},
		})
	}
}

// addAlert numbers an app-governance alert; it is published when it is made.
func (c *Cloud) addAlert(step string, a alert) {
	a.number = c.add(kindAlert, a.created(), a.created(), tale{step: step, look: func(uint32, record) object { return nil }})
	c.alerts = append(c.alerts, a)
}

// alert renders an entity of alerts_v2. Documented: names and types (CSDL),
// the prefix ma of the id. Reported, from one published alert: objectId and
// publisher of the evidence are null, the description carries CR LF and an
// anchor, fractions of a second have two to seven digits, categories of the
// list may differ.
func (c *Cloud) alert(i int, asOf time.Time) object {
	a := &c.alerts[i]
	st := a.state(asOf)
	id := c.alertID(i)
	var resolved any
	if st.status == "resolved" {
		resolved = ticks(st.at)
	}
	return object{
		{"@odata.type", "#microsoft.graph.security.alert"}, {"id", id}, {"providerAlertId", id[2:]}, {"incidentId", strconv.Itoa(100 + i)},
		{"status", st.status}, {"severity", a.severity}, {"classification", st.classification}, {"determination", nil},
		{"serviceSource", a.service}, {"detectionSource", a.source}, {"productName", "App Governance"}, {"detectorId", nil},
		{"tenantId", c.o.TenantID}, {"title", a.title}, {"description", a.describe()},
		{"recommendedActions", "Review the app.\r\nDisable it if nobody knows it."}, {"category", a.category},
		{"categories", []string{a.category}}, {"assignedTo", nil},
		{"alertWebUrl", "https://security.microsoft.com/alerts/" + id + "?tid=" + c.o.TenantID},
		{"incidentWebUrl", "https://security.microsoft.com/incident2/" + strconv.Itoa(100+i) + "/overview?tid=" + c.o.TenantID},
		{"actorDisplayName", nil}, {"threatDisplayName", nil}, {"threatFamilyName", nil}, {"mitreTechniques", nonNil(a.tactics)},
		{"createdDateTime", ticks(a.created())}, {"lastUpdateDateTime", ticks(st.at)}, {"resolvedDateTime", resolved},
		{"firstActivityDateTime", a.created().AddDate(0, -1, 0).UTC().Format("2006-01-02T15:04:05.00Z")},
		{"lastActivityDateTime", a.created().AddDate(0, 0, -2).UTC().Format("2006-01-02T15:04:05.000Z")},
		{"alertPolicyId", nil}, {"investigationState", "unknown"}, {"systemTags", []string{}}, {"comments", list{}}, {"customDetails", object{}},
		{"additionalData", object{{"SimNumber", strconv.FormatUint(uint64(a.number), 10)}}},
		{"evidence", a.evidence()},
	}
}

// alertID: other products' alerts have no number and another prefix.
func (c *Cloud) alertID(i int) string {
	if n := c.alerts[i].number; n > 0 {
		return c.id(n)
	}
	return "ca" + c.random(domAlert, uint64(i)|1<<40).guid()
}

func (a *alert) describe() string {
	return "The app was noticed.\r\n<a href=\"https://security.microsoft.com//app?oauthAppId=" + a.appID + "\">" + a.appName + "</a>\r\n" +
		strings.Repeat("Detail of what was noticed. ", a.padding/28)
}

func (a *alert) evidence() list {
	if a.appID == "" {
		return list{}
	}
	return list{object{
		{"@odata.type", "#microsoft.graph.security.oauthApplicationEvidence"}, {"createdDateTime", ticks(a.created())},
		{"verdict", "suspicious"}, {"remediationStatus", "none"}, {"remediationStatusDetails", nil}, {"roles", []string{}},
		{"detailedRoles", []string{}}, {"tags", []string{}}, {"appId", a.appID}, {"displayName", a.appName},
		{"objectId", nil}, {"publisher", nil},
	}}
}
