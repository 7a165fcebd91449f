package sim

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// The Office 365 Management Activity API: the unified audit log in contents, which are
// listed by the time at which they became available. Documented: paths, parameters,
// the range of a list, the half-open interval, the header NextPageUri, codes of errors.
// Reported: 403 AF429, 400 AF20024 and AF20055. Documented for Defender for Cloud Apps,
// which reads the same API: AF20012 where nobody has a Microsoft 365 licence, and
// AF20023 where auditing is off.
// https://learn.microsoft.com/defender-cloud-apps/troubleshooting-api-connectors-using-error-messages

const (
	officeKeeps   = 7 * 24 * time.Hour
	officeContent = 15 // records of one content, about
)

// contentTypes are those of the Management Activity API.
func contentTypes() []string {
	return []string{"Audit.Exchange", "Audit.SharePoint", "Audit.General", "Audit.AzureActiveDirectory", "DLP.All"}
}

// OfficeRecord is one record of the unified audit log.
type OfficeRecord struct {
	ID        string    `json:"id"`
	Type      string    `json:"type"` // content type
	Time      time.Time `json:"time"`
	App       bool      `json:"app"`       // whether it tells of an app
	Lost      bool      `json:"lost"`      // whether every content that holds it is gone
	Throttled bool      `json:"throttled"` // whether the log stops telling of that mailbox
}

// officeBlob is one content.
type officeBlob struct {
	id      string
	kind    string
	created time.Time
	listed  time.Time // when the list shows it: later than created, for some
	lost    bool      // listed, and gone
	records []int
}

// office is the unified audit log.
type office struct {
	records []OfficeRecord
	blobs   []officeBlob         // in order of creation
	started map[string]time.Time // subscriptions
}

func (c *Cloud) makeOffice() {
	c.office.started = map[string]time.Time{}
	open := map[string]*officeBlob{}
	for n := range c.o.Office {
		r := c.random(domOffice, uint64(n))
		at := c.o.cut(c.place(n, c.o.Office, r).Truncate(time.Second))
		kind := contentTypes()[min(r.intn(14)/3, 4)]
		c.office.records = append(c.office.records, OfficeRecord{ID: r.guid(), Type: kind, Time: at, App: kind == "Audit.AzureActiveDirectory" || r.intn(4) > 0, Throttled: kind == "Audit.Exchange" && r.intn(50) == 0})
		if r.chance(c.o.Late) { // in a content of its own, a day and more later
			late := time.Duration(r.float() * float64(30*time.Hour))
			if c.paced() {
				c.office.records[n].Time = c.o.cut(at.Add(-late).Truncate(time.Second))
				late = 0
			}
			c.closeBlob(&officeBlob{kind: kind, records: []int{n}}, at.Add(late))
			continue
		}
		b := open[kind]
		if b == nil {
			b = &officeBlob{kind: kind}
			open[kind] = b
		}
		b.records = append(b.records, n)
		if r.chance(c.o.Duplicates) { // documented: the same record may come in two contents
			c.closeBlob(&officeBlob{kind: kind, records: []int{n}}, at.Add(c.later(3*time.Minute)))
		}
		if len(b.records) >= officeContent {
			c.closeBlob(b, at)
			delete(open, kind)
		}
	}
	for _, kind := range contentTypes() {
		if b := open[kind]; b != nil {
			c.closeBlob(b, c.office.records[b.records[len(b.records)-1]].Time)
		}
	}
	slices.SortFunc(c.office.blobs, func(a, b officeBlob) int { return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.id, b.id)) })
}

// closeBlob makes a content of records, the last of which happened at some time. Its
// records are in no order. Documented.
func (c *Cloud) closeBlob(b *officeBlob, last time.Time) {
	r := c.random(domOffice, uint64(len(c.office.blobs))|1<<40)
	b.created = last.Add(c.later(time.Minute) + time.Duration(r.intn(1000))*time.Millisecond).UTC()
	b.listed = b.created
	if r.chance(c.o.Late) { // assumed
		late := time.Duration(r.float() * float64(time.Hour))
		if c.paced() {
			b.created = b.created.Add(-late)
		} else {
			b.listed = b.created.Add(late)
		}
	}
	b.lost = r.chance(c.o.LostContents)
	stamp := b.created.Format("20060102150405") + fmtInt(100000000+r.intn(900000000))
	b.id = stamp + "$" + stamp + "$" + strings.ToLower(strings.ReplaceAll(b.kind, ".", "_")) + "$" + b.kind + "$" + r.guid()[:8]
	for i := len(b.records) - 1; i > 0; i-- {
		j := r.intn(i + 1)
		b.records[i], b.records[j] = b.records[j], b.records[i]
	}
	c.office.blobs = append(c.office.blobs, *b)
}

// later is a delay of the service, which a pace leaves out: there everything is listed
// at its turn, and what is late tells of an earlier time.
func (c *Cloud) later(d time.Duration) time.Duration {
	if c.paced() {
		return 0
	}
	return d
}

// Office lists the records that a reader of a content type must arrive at or know to
// be lost, as far as they are listed by now.
func (c *Cloud) Office(kind string) []OfficeRecord {
	now := c.o.Now()
	seen := map[int]bool{} // to whether it can be had
	for _, b := range c.office.blobs {
		if b.kind != kind || b.listed.After(now) {
			continue
		}
		for _, n := range b.records {
			seen[n] = seen[n] || !b.lost
		}
	}
	var out []OfficeRecord
	for n, had := range seen {
		r := c.office.records[n]
		r.Lost = !had
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b OfficeRecord) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// OfficeComplete tells when the last content is listed.
func (c *Cloud) OfficeComplete() time.Time {
	end := c.o.Start
	for _, b := range c.office.blobs {
		if b.listed.After(end) {
			end = b.listed
		}
	}
	return end
}

// officeRoutes are the paths of the feed.
func (c *Cloud) officeRoutes(mux *http.ServeMux) {
	const root = "/api/v1.0/{tenant}/activity/feed"
	mux.HandleFunc("POST "+root+"/subscriptions/start", c.feed(startSubscription))
	mux.HandleFunc("GET "+root+"/subscriptions/content", c.feed(listContents))
	mux.HandleFunc("GET "+root+"/audit/{content}", c.feed(getContent))
}

// feed is what all requests of the Management Activity API go through.
func (c *Cloud) feed(h func(*call, http.ResponseWriter) (reply, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now := c.o.Now()
		c.mu.Lock()
		c.requests++
		k := &call{c: c, r: r, q: r.URL.Query(), now: now, fault: c.faults}
		turn := c.random(domFault, c.requests)
		held, err := c.tokens.verify(bearer(r), now)
		c.mu.Unlock()
		w.Header().Set("Date", now.Add(k.fault.DateSkew).UTC().Format(http.TimeFormat))
		k.id = turn.guid()
		if err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			writeJSON(w, http.StatusUnauthorized, object{{"Message", "Authorization has been denied for this request."}})
			return
		}
		if p := k.officeStrike(turn, held); p != nil {
			k.failOffice(w, p)
			return
		}
		ans, next := h(k, w)
		if ans.problem != nil {
			k.failOffice(w, ans.problem)
			return
		}
		if next != "" {
			w.Header().Set("NextPageUri", next)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		b := appendArray(nil, ans.items)
		if !ans.paged {
			b = appendObject(nil, ans.body)
		}
		if turn.chance(k.fault.Truncate) {
			truncate(w, b, turn)
			return
		}
		_, _ = w.Write(b)
	}
}

// failOffice sends an error in the documented shape.
func (k *call) failOffice(w http.ResponseWriter, p *problem) {
	writeJSON(w, p.status, object{{"error", object{{"code", p.code}, {"message", p.message}}}})
}

// officeStrike lets a fault, a limit or a missing permission answer. Statuses other than
// that of AF429 are assumed.
func (k *call) officeStrike(turn *rng, cl claims) *problem {
	need := "ActivityFeed.Read"
	if k.q.Get("contentType") == "DLP.All" {
		need = "ActivityFeed.ReadDlp"
	}
	switch tenant := k.r.PathValue("tenant"); {
	case tenant != k.c.o.TenantID:
		return &problem{status: http.StatusUnauthorized, code: "AF20010", message: "The tenant ID passed in the URL (" + tenant + ") does not match the tenant ID passed in the access token (" + k.c.o.TenantID + ")."}
	case !slices.Contains(cl.Roles, need):
		return &problem{status: http.StatusForbidden, code: "AF10001", message: "The permission set (" + strings.Join(cl.Roles, " ") + ") sent in the request did not include the expected permission " + need + "."}
	case slices.Contains(k.fault.Unlicensed, "m365"):
		return &problem{status: http.StatusBadRequest, code: "AF20012", message: "Specified tenant ID (" + tenant + ") is incorrectly configured in the system."}
	case k.fault.NoAudit && k.r.Method == http.MethodPost:
		return k.auditingOff(turn)
	case k.fault.NoAudit:
		return &problem{status: http.StatusBadRequest, code: "AF20023", message: "The subscription was disabled."}
	case turn.chance(k.fault.Throttle) || !k.c.limits.allow("/activity/feed", k.now):
		return &problem{status: http.StatusForbidden, code: "AF429", message: "Too many requests. Method=" + k.r.Method + ", PublisherId=" + k.q.Get("PublisherIdentifier")}
	case turn.chance(k.fault.ServerErrors):
		return &problem{status: pick(turn, []int{500, 502, 503, 504}), code: "AF50000", message: "An internal error occurred. Retry the request."}
	}
	return nil
}

// auditingOff is what a tenant whose audit log is off answers. Documented: the sentence
// about the tenant. Reported: what stands around it, cut into code and message at some
// colon, and other numbers each time.
func (k *call) auditingOff(turn *rng) *problem {
	client := k.c.o.ClientID
	return &problem{
		status: http.StatusBadRequest,
		code:   "StartSubscription [CorrId=" + turn.guid() + "][TenantId=" + k.c.o.TenantID + ",ContentType=" + k.q.Get("contentType") + ",ApplicationId=" + client + ",PublisherId=" + client + "][AppId",
		message: client[1:] + "] failed. Exception: Microsoft.Office.Compliance.Audit.DataServiceException: Tenant " + k.c.o.TenantID + " does not exist.\r\n" +
			"   at Microsoft.Office.Compliance.Audit.API.AzureManager.<GetSubscriptionTableClientForTenantAsync>d__52.MoveNext() in d:\\dbs\\" + turn.letters() + "\\AzureManager.cs:line 2113\r\n",
	}
}

func refuseOffice(status int, code, format string, args ...any) (reply, string) {
	return refuse(status, code, format, args...), ""
}

func startSubscription(k *call, _ http.ResponseWriter) (reply, string) {
	kind := k.q.Get("contentType")
	if !slices.Contains(contentTypes(), kind) {
		return refuseOffice(http.StatusBadRequest, "AF20020", "The specified content type is not valid.")
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if !k.c.office.started[kind].IsZero() {
		return refuseOffice(http.StatusBadRequest, "AF20024", "The subscription is already enabled. No property change.")
	}
	k.c.office.started[kind] = k.now
	return reply{body: object{{"contentType", kind}, {"status", "enabled"}, {"webhook", nil}}}, ""
}

// feedToken is where a list goes on.
type feedToken struct {
	Created time.Time `json:"c"`
	ID      string    `json:"i"`
}

func listContents(k *call, _ http.ResponseWriter) (reply, string) {
	kind := k.q.Get("contentType")
	k.c.mu.Lock()
	started := k.c.office.started[kind]
	k.c.mu.Unlock()
	if started.IsZero() || k.fault.NoSubscription {
		return refuseOffice(http.StatusBadRequest, "AF20022", "No subscription found for the specified content type.")
	}
	from, err1 := time.Parse("2006-01-02T15:04:05", k.q.Get("startTime"))
	to, err2 := time.Parse("2006-01-02T15:04:05", k.q.Get("endTime"))
	switch {
	case err1 != nil || err2 != nil || from.Before(k.now.Add(-officeKeeps)) || !from.Before(to):
		return refuseOffice(http.StatusBadRequest, "AF20030", "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart, with the start time no more than 7 days in the past.")
	case to.Sub(from) > 24*time.Hour:
		return refuseOffice(http.StatusBadRequest, "AF20055", "Start time and end time must both be specified (or both omitted) and must be less than or equal to 24 hours apart.")
	}
	var after feedToken
	if page := k.q.Get("nextPage"); page != "" && !k.c.tokens.open(page, &after) {
		return refuseOffice(http.StatusBadRequest, "AF20031", "Invalid nextPage Input: %s.", page)
	}
	var items []object
	base := origin(k.r)
	if k.fault.ForeignContent != "" {
		base = k.fault.ForeignContent
	}
	for _, b := range k.c.office.blobs {
		if b.kind != kind || b.created.Before(from) || !b.created.Before(to) || b.listed.After(k.now) || cmp.Or(b.created.Compare(after.Created), cmp.Compare(b.id, after.ID)) <= 0 {
			continue
		}
		if len(items) == k.c.o.OfficePage {
			q := k.q
			q.Set("nextPage", k.c.tokens.seal(after))
			return reply{paged: true, items: items}, k.link(k.fault.ForeignNext, q)
		}
		after = feedToken{b.created, b.id}
		items = append(items, object{{"contentUri", base + "/api/v1.0/" + k.c.o.TenantID + "/activity/feed/audit/" + b.id}, {"contentId", b.id}, {"contentType", kind},
			{"contentCreated", millis(b.created)}, {"contentExpiration", millis(b.created.Add(officeKeeps))}})
	}
	return reply{paged: true, items: items}, ""
}

func millis(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func getContent(k *call, _ http.ResponseWriter) (reply, string) {
	id := k.r.PathValue("content")
	i := slices.IndexFunc(k.c.office.blobs, func(b officeBlob) bool { return b.id == id })
	if i < 0 {
		return refuseOffice(http.StatusNotFound, "AF20050", "The specified content (%s) does not exist.", id)
	}
	b := k.c.office.blobs[i]
	switch {
	case b.lost || k.now.Sub(b.created) > officeKeeps:
		return refuseOffice(http.StatusNotFound, "AF20051", "Content requested with the key %s has already expired. Content older than 7 days cannot be retrieved.", id)
	case k.fault.PoisonContent != "" && strings.Contains(id, k.fault.PoisonContent):
		return refuseOffice(http.StatusInternalServerError, "AF50000", "An internal error occurred. Retry the request.")
	}
	items := make([]object, 0, len(b.records))
	for _, n := range b.records {
		items = append(items, k.c.officeRecord(n))
	}
	return reply{paged: true, items: items}, ""
}

// officeRecord renders a record. Reported: times without a zone, numbers as numbers,
// the operations of the directory with a full stop, record types that no table lists.
func (c *Cloud) officeRecord(n int) object {
	rec := c.office.records[n]
	r := c.random(domOffice, uint64(n)|1<<41)
	u := c.anyUser(r)
	apps := c.base[len(c.cat.resources):]
	a := apps[r.intn(len(apps))]
	o := object{{"CreationTime", rec.Time.Format("2006-01-02T15:04:05")}, {"Id", rec.ID}, {"OrganizationId", c.o.TenantID}, {"UserType", 0}, {"UserKey", u.id}, {"UserId", u.upn}, {"ClientIP", c.network(r.intn(networks - attackNetworks)).ip(r.intn(200))}, {"ResultStatus", "Succeeded"}}
	switch rec.Type {
	case "Audit.Exchange":
		return append(o, c.mailRead(rec, r, u, a)...)
	case "Audit.SharePoint":
		o = append(o, object{{"Operation", "FileDownloaded"}, {"RecordType", 6}, {"Workload", "SharePoint"}, {"ObjectId", "https://contoso.example/sites/" + fmtInt(r.intn(40)) + "/report.docx"}}...)
		if rec.App {
			o = append(o, object{{"ApplicationId", a.appID}, {"ApplicationDisplayName", a.name}, {"AppAccessContext", object{{"ClientAppId", a.appID}}}}...)
		}
		return o
	case "Audit.AzureActiveDirectory":
		return append(o, object{{"Operation", "Add app role assignment to service principal."}, {"RecordType", 8}, {"Workload", "AzureActiveDirectory"}, {"ObjectId", a.spID},
			{"Actor", []object{{{"ID", u.id}, {"Type", 0}}, {{"ID", u.upn}, {"Type", 5}}}},
			{"Target", []object{{{"ID", "ServicePrincipal_" + a.spID}, {"Type", 2}}, {{"ID", a.spID}, {"Type", 2}}, {{"ID", a.name}, {"Type", 1}}}},
			{"ModifiedProperties", []object{{{"Name", "AppRole.Value"}, {"OldValue", ""}, {"NewValue", "Mail.Read"}}}}}...)
	case "DLP.All":
		o = append(o, object{{"Operation", "DLPRuleMatch"}, {"RecordType", 11}, {"Workload", "SharePoint"}}...)
	case "Audit.General":
		if rec.App && r.intn(3) == 0 { // reported: the number is in no table
			return append(o, object{{"Operation", "AppGovernancePolicyAlert"}, {"RecordType", 117}, {"Workload", "AppGovernance"}, {"ObjectId", a.appID}}...)
		}
		o = append(o, object{{"Operation", "TeamsAppInstalled"}, {"RecordType", 25}, {"Workload", "MicrosoftTeams"}}...)
	}
	if rec.App {
		o = append(o, object{{"AppId", a.appID}, {"ApplicationName", a.name}}...)
	}
	return o
}

// mailRead: Bind is the reading of a message, Sync that of a folder. Documented.
func (c *Cloud) mailRead(rec OfficeRecord, r *rng, u user, a *app) object {
	if !rec.App {
		return object{{"Operation", "HardDelete"}, {"RecordType", 3}, {"Workload", "Exchange"}, {"MailboxOwnerUPN", u.upn}}
	}
	access := pick(r, []string{"Bind", "Sync"})
	throttled := "False"
	if rec.Throttled {
		access, throttled = "Bind", "True"
	}
	return object{{"Operation", "MailItemsAccessed"}, {"RecordType", 50}, {"Workload", "Exchange"}, {"MailboxOwnerUPN", u.upn}, {"ClientAppId", a.appID}, {"AppId", c.base[resGraph].appID},
		{"ClientInfoString", "Client=REST;;"}, {"OperationCount", 1 + r.intn(20)},
		{"OperationProperties", []object{{{"Name", "MailAccessType"}, {"Value", access}}, {{"Name", "IsThrottled"}, {"Value", throttled}}}}}
}
