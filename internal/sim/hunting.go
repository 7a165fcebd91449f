package sim

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Advanced hunting: enough of it for tables of apps. Documented: the request, the
// answer's members, which tables and columns there are. Reported: typed cells (a null
// is an empty object, a boolean 0 or 1), lists that hold JSON text, old names.

// tableOf is one table: its columns and its rows.
type tableOf struct {
	columns []string
	rows    func(*Cloud) []object
}

func (k *call) tables() map[string]tableOf {
	apps := tableOf{[]string{"ReportId", "Timestamp", "OAuthAppId", "ServicePrincipalId", "AppName", "AddedOnTime", "LastModifiedTime", "AppStatus", "VerifiedPublisher", "PrivilegeLevel",
		"Permissions", "ConsentedUsersCount", "IsAdminConsented", "AppOrigin", "LastUsedTime", "AppOwnerTenantId", "RiskScore", "AssignedRoles"}, (*Cloud).oauthAppInfo}
	calls := tableOf{[]string{"Timestamp", "ApplicationId", "AccountObjectId", "EntityType", "ResponseStatusCode", "TargetWorkload", "ResponseSize", "RequestUri", "IpAddress"}, (*Cloud).graphCalls}
	events := tableOf{[]string{"Timestamp", "ReportId", "ActionType", "ActivityType", "Application", "OAuthAppId", "AccountObjectId", "AccountDisplayName", "AccountType", "IPAddress",
		"CountryCode", "City", "ISP", "UserAgent", "ObjectName", "ObjectType", "ObjectId", "RawEventData"}, (*Cloud).cloudAppEvents}
	signIns := tableOf{[]string{"Timestamp", "RequestId", "ReportId", "Application", "ApplicationId", "IsManagedIdentity", "ErrorCode", "CorrelationId", "ServicePrincipalName", "ServicePrincipalId",
		"ResourceDisplayName", "ResourceId", "ResourceTenantId", "IPAddress", "Country", "City"}, (*Cloud).spnSignIns}
	t := map[string]tableOf{"OAuthAppInfo": apps, "CloudAppEvents": events}
	if k.fault.OldTables {
		calls.columns = slices.DeleteFunc(calls.columns, func(c string) bool { return c == "ResponseSize" })
		t["GraphApiAuditEvents"], t["AADSpnSignInEventsBeta"] = calls, signIns
	} else {
		t["GraphAPIAuditEvents"], t["EntraIdSpnSignInEvents"] = calls, signIns
	}
	return t
}

// hunt answers runHuntingQuery.
func hunt(k *call) reply {
	var in struct{ Query string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, k.r.Body, 1<<20)).Decode(&in); err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "The request body is invalid.")
	}
	parts := strings.Split(in.Query, "|")
	name := strings.TrimSpace(parts[0])
	table, ok := k.tables()[name]
	if !ok || slices.Contains(k.fault.Unlicensed, "defender") {
		return refuse(http.StatusBadRequest, "BadRequest", "'where' operator: Failed to resolve table or column expression named '%s'", name)
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	if strings.Contains(in.Query, "getschema") {
		var rows []object
		for _, c := range table.columns {
			rows = append(rows, object{{"ColumnName", c}})
		}
		return huntAnswer(rows)
	}
	rows, err := k.chosen(table, parts[1:])
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "%s", err)
	}
	if most := k.c.o.HuntTooLarge; most > 0 && len(rows) > most {
		return refuse(http.StatusBadRequest, "BadRequest", "Query execution has exceeded the allowed result size. Optimize your query by limiting the number of results and try again.")
	}
	return huntAnswer(rows)
}

// huntAnswer: reported that a result without rows may lack the member.
func huntAnswer(rows []object) reply {
	if len(rows) == 0 {
		return reply{body: object{{"schema", list{}}}}
	}
	return reply{body: object{{"schema", list{}}, {"results", toList(rows)}}}
}

var (
	huntTimes = regexp.MustCompile(`Timestamp >= datetime\(([^)]*)\) and Timestamp < datetime\(([^)]*)\)`)
	huntHash  = regexp.MustCompile(`hash\((\w+), (\d+)\) == (\d+)`)
)

// chosen applies the conditions of a query that are simulated.
func (k *call) chosen(t tableOf, parts []string) ([]object, error) {
	rows := t.rows(k.c)
	project := ""
	for _, p := range parts {
		p = strings.TrimSpace(p)
		switch {
		case huntTimes.MatchString(p):
			m := huntTimes.FindStringSubmatch(p)
			from, err1 := time.Parse(time.RFC3339Nano, m[1])
			to, err2 := time.Parse(time.RFC3339Nano, m[2])
			if err1 != nil || err2 != nil {
				return nil, refusalf("Invalid datetime literal")
			}
			rows = slices.DeleteFunc(rows, func(o object) bool {
				at, _ := time.Parse(time.RFC3339Nano, cell(o, "Timestamp"))
				return at.Before(from) || !at.Before(to) || at.After(k.now)
			})
		case huntHash.MatchString(p):
			m := huntHash.FindStringSubmatch(p)
			of, _ := strconv.Atoi(m[2])
			part, _ := strconv.Atoi(m[3])
			rows = slices.DeleteFunc(rows, func(o object) bool { return bucket(cell(o, m[1]), of) != part })
		case strings.HasPrefix(p, "where isnotempty("):
			name := strings.TrimSuffix(strings.TrimPrefix(p, "where isnotempty("), ")")
			rows = slices.DeleteFunc(rows, func(o object) bool { return cell(o, name) == "" })
		case strings.HasPrefix(p, "summarize arg_max("):
			rows = newest(rows)
		case strings.HasPrefix(p, "summarize Calls"):
			return sumCalls(rows, p), nil
		case strings.HasPrefix(p, "project "):
			project = strings.TrimPrefix(p, "project ")
		default:
			return nil, refusalf("'%s' is not simulated", p)
		}
	}
	if project == "" {
		return rows, nil
	}
	names := strings.Split(strings.ReplaceAll(project, " ", ""), ",")
	for _, n := range names {
		if !slices.Contains(t.columns, n) {
			return nil, refusalf("'project' operator: Failed to resolve scalar expression named '%s'", n)
		}
	}
	for i, o := range rows {
		rows[i] = o.only(func(n string) bool { return slices.Contains(names, n) })
	}
	return rows, nil
}

// bucket stands in for Kusto's hash: which one it is does not matter.
func bucket(s string, of int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(s))
	return int(h.Sum32() % uint32(of))
}

func cell(o object, name string) string {
	for _, m := range o {
		if m.name == name {
			if s, ok := m.value.(string); ok {
				return s
			}
			return fmt.Sprint(m.value)
		}
	}
	return ""
}

// newest keeps the last version of each app.
func newest(rows []object) []object {
	last := map[string]object{}
	for _, o := range rows {
		id := cell(o, "ServicePrincipalId")
		if have, ok := last[id]; !ok || cell(o, "Timestamp") > cell(have, "Timestamp") {
			last[id] = o
		}
	}
	return slices.DeleteFunc(rows, func(o object) bool {
		return cell(last[cell(o, "ServicePrincipalId")], "Timestamp") != cell(o, "Timestamp")
	})
}

// sumCalls adds up calls by app. Documented: a text is never null, so that dcount counts
// the empty one, of calls without a user, too; dcountif is simulated with the conditions
// that it has here.
func sumCalls(rows []object, query string) []object {
	type sum struct {
		calls, errors, bytes int
		users                map[string]bool
	}
	sums, order := map[string]*sum{}, []string{}
	for _, o := range rows {
		id := cell(o, "ApplicationId")
		if sums[id] == nil {
			sums[id], order = &sum{users: map[string]bool{}}, append(order, id)
		}
		s := sums[id]
		s.calls++
		if cell(o, "ResponseStatusCode") >= "400" {
			s.errors++
		}
		n, _ := strconv.Atoi(cell(o, "ResponseSize"))
		s.bytes += n
		user := cell(o, "AccountObjectId")
		if (user != "" || !strings.Contains(query, "isnotempty(AccountObjectId)")) && (cell(o, "EntityType") == "user" || !strings.Contains(query, `EntityType =~ "user"`)) {
			s.users[user] = true
		}
	}
	var out []object
	for _, id := range order {
		s := sums[id]
		row := object{{"ApplicationId", id}, {"Calls", s.calls}, {"Errors", s.errors}}
		if strings.Contains(query, "ResponseBytes") {
			row = append(row, member{"ResponseBytes", s.bytes})
		}
		out = append(out, append(row, member{"Users", len(s.users)}, member{"Services", []string{"Microsoft.Exchange"}}))
	}
	return out
}

func (c *Cloud) hunted(f func(*app) bool) []*app {
	return c.living(func(a *app) bool { return a.kind == "Application" && a.appID != "" && f(a) })
}

// oauthAppInfo: each app has an older version, too. Reported: rows are versions.
func (c *Cloud) oauthAppInfo() []object {
	var out []object
	for _, a := range c.hunted(func(*app) bool { return true }) {
		for n := range 2 {
			at := c.o.Start.Add(-time.Duration(n+1)*26*time.Hour - time.Duration(a.index)*time.Second)
			out = append(out, object{
				{"ReportId", fmt.Sprintf("%s_%d", a.spID, n)}, {"Timestamp", ticks(at)}, {"OAuthAppId", a.appID}, {"ServicePrincipalId", a.spID}, {"AppName", a.name},
				{"AddedOnTime", seconds(a.created)}, {"LastModifiedTime", seconds(at)}, {"AppStatus", "Enabled"}, {"VerifiedPublisher", object{}}, {"PrivilegeLevel", []string{"Low", "Medium", "High"}[a.index%3]},
				{"Permissions", []string{`{"PermissionType":"Application","PermissionValue":"Mail.Read","InUse":"false","PrivilegeLevel":"High"}`, `{"PermissionType":"Delegated","PermissionValue":"User.Read","InUse":"true","PrivilegeLevel":"Low"}`}},
				{"ConsentedUsersCount", object{}}, {"IsAdminConsented", 1}, {"AppOrigin", "Internal"}, {"LastUsedTime", object{}}, {"AppOwnerTenantId", a.owner}, {"RiskScore", 1 + a.index%90}, {"AssignedRoles", []string{}},
			})
		}
	}
	return out
}

func (c *Cloud) graphCalls() []object {
	var out []object
	day := c.o.Start.Truncate(24 * time.Hour)
	for _, a := range c.hunted(func(a *app) bool { return a.index%2 == 0 }) {
		for n := range 3 {
			status := "200"
			if n == 2 {
				status = "403"
			}
			// Of a user, of the app with its own id, of the app with none: what an app's own
			// call has in AccountObjectId is assumed.
			caller, entity := []string{c.user(0).id, a.spID, ""}[n], []string{"user", "application", "application"}[n]
			out = append(out, object{
				{"Timestamp", ticks(day.Add(-time.Duration(24-n) * time.Hour))}, {"ApplicationId", a.appID}, {"AccountObjectId", caller}, {"EntityType", entity}, {"ResponseStatusCode", status},
				{"TargetWorkload", "Microsoft.Exchange"}, {"ResponseSize", 1000}, {"RequestUri", "https://graph.microsoft.com/v1.0/me/messages"}, {"IpAddress", c.network(1).ip(1)},
			})
		}
	}
	return out
}

func (c *Cloud) cloudAppEvents() []object {
	var out []object
	for _, a := range c.hunted(func(a *app) bool { return a.index%3 == 0 }) {
		for n := range 4 {
			at := c.o.cut(c.o.Start.Add(-time.Duration(n*40+a.index%40) * time.Minute))
			out = append(out, object{
				{"Timestamp", ticks(at)}, {"ReportId", c.random(domTrait, uint64(a.index*4+n)|1<<47).guid() + "_11161"}, {"ActionType", "MailItemsAccessed"}, {"ActivityType", "Basic"},
				{"Application", "Microsoft Exchange Online"}, {"OAuthAppId", a.appID}, {"AccountObjectId", c.user(a.index % c.o.Users).id}, {"AccountDisplayName", "user"}, {"AccountType", "Regular"},
				{"IPAddress", c.network(2).ip(2)}, {"CountryCode", "NO"}, {"City", object{}}, {"ISP", "Example"}, {"UserAgent", object{}}, {"ObjectName", object{}}, {"ObjectType", object{}}, {"ObjectId", object{}}, {"RawEventData", object{}},
			})
		}
	}
	return out
}

func (c *Cloud) spnSignIns() []object {
	var out []object
	for _, a := range c.hunted(func(a *app) bool { return a.index%2 == 1 }) {
		for n := range 3 {
			at := c.o.cut(c.o.Start.Add(-time.Duration(n*50+a.index%50) * time.Minute))
			out = append(out, object{
				{"Timestamp", ticks(at)}, {"RequestId", c.random(domTrait, uint64(a.index*4+n)|1<<48).guid()}, {"ReportId", "r"}, {"Application", a.name}, {"ApplicationId", a.appID}, {"IsManagedIdentity", 0},
				{"ErrorCode", 0}, {"CorrelationId", c.random(domTrait, uint64(a.index*4+n)|1<<49).guid()}, {"ServicePrincipalName", a.name}, {"ServicePrincipalId", a.spID}, {"ResourceDisplayName", "Microsoft Graph"},
				{"ResourceId", c.base[resGraph].appID}, {"ResourceTenantId", microsoftTenant}, {"IPAddress", c.network(2).ip(3)}, {"Country", "NO"}, {"City", object{}},
			})
		}
	}
	return out
}

// Hunted lists what a reader of a table must arrive at: the ids of its rows.
func (c *Cloud) Hunted(table string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for name, t := range map[string]struct {
		rows []object
		id   string
	}{"OAuthAppInfo": {newest(c.oauthAppInfo()), "ServicePrincipalId"}, "GraphAPIAuditEvents": {sumCalls(c.graphCalls(), "ResponseBytes isnotempty(AccountObjectId) EntityType =~ \"user\""), "ApplicationId"},
		"CloudAppEvents": {c.cloudAppEvents(), "ReportId"}, "EntraIdSpnSignInEvents": {c.spnSignIns(), "RequestId"}} {
		for _, o := range t.rows {
			if name == table {
				out = append(out, cell(o, t.id))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
