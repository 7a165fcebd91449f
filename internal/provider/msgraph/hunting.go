package msgraph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	abs "github.com/microsoft/kiota-abstractions-go"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Limits of advanced hunting by Graph; see
// https://learn.microsoft.com/graph/api/resources/security-api-overview.
const (
	huntRows   = 100_000             // a result with as many rows was cut, without a word
	huntReach  = 30 * 24 * time.Hour // no older rows
	maxShards  = 1024                // of one pass over a table of apps
	schemaLife = 24 * time.Hour      // how long a schema is believed
	deepEvery  = 24 * time.Hour      // between two readings of
	deepReach  = 48 * time.Hour      // rows that come very late
)

// hunted is one table of advanced hunting.
type hunted struct {
	tables   []string // its names, the current one first
	required []string // without which it cannot be read
	every    string
	query    func(has func(string) bool) string // behind the condition of the shard
	byTime   bool                               // rows are events; else each pass reads what there is of apps
}

// shard is the part of a table that one query asks for: rows between two times, and
// of those the ones whose key falls into one of several parts.
type shard struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Of   int       `json:"of,omitempty"` // number of parts; 0 = all rows
	Part int       `json:"part,omitempty"`
}

// huntCursor is where the reading of a table stands.
type huntCursor struct {
	V       int       `json:"v"`
	Table   string    `json:"table,omitempty"` // name that the tenant knows
	Columns []string  `json:"columns,omitempty"`
	Probed  time.Time `json:"probed,omitzero"`
	Pass    uint64    `json:"pass"`
	Based   bool      `json:"based,omitempty"`
	Shards  []shard   `json:"shards,omitempty"` // left of this pass; empty = none going on
	Begun   time.Time `json:"begun,omitzero"`
	Mark    time.Time `json:"mark,omitzero"` // everything up to here was read once
	Start   time.Time `json:"start,omitzero"`
	Deep    time.Time `json:"deep,omitzero"` // last reading of what comes very late
	Lossy   bool      `json:"lossy,omitempty"`
	Queries int       `json:"queries,omitempty"`
	Needs   load      `json:"needs,omitzero"`
}

// huntSource reads one table of advanced hunting by queries: the schema first, so that
// old names and missing columns are known; a query whose result does not fit is asked
// again in halves.
type huntSource struct {
	*caller
	plan     schedule
	lookback time.Duration
	decode   func(of string, raw []byte) ([]event.Object, []event.Event, error)
	jitter   func(time.Duration) time.Duration
	most     int // rows of a result that was cut
	trouble  trouble
}

// Read returns the schema, without records, or the result of one query.
func (s *huntSource) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	page, err := s.read(ctx, cursor)
	s.missed(cursor, err)
	if s.unopened(cursor, err) && (s.spec.hunt.byTime || s.spec.objects == event.ObjectAppCalls) {
		c, now := huntCursor{V: cursorVersion}, s.time()
		if c.Mark = lastWhole(now).Add(-widest); s.spec.hunt.byTime {
			s.start(&c, now)
		}
		return event.Page{Cursor: encodeCursor(&c)}, err
	}
	return s.startOver(page, err, func(now time.Time) (any, time.Time, time.Time) {
		c := &huntCursor{V: cursorVersion, Pass: anew(now), Based: true}
		if !s.spec.hunt.byTime {
			return c, now, now
		}
		c.Start = floor(now.Add(-deepest))
		c.Mark, c.Deep = c.Start, now
		return c, floor(now.Add(-huntReach)), c.Start
	})
}

func (s *huntSource) read(ctx context.Context, cursor []byte) (event.Page, error) {
	c := huntCursor{V: cursorVersion}
	if err := decodeCursor(cursor, &c, func(c *huntCursor) int { return c.V }); err != nil {
		return event.Page{}, err
	}
	s.budget.need(s.key, c.Needs)
	now := s.time()
	if c.Table == "" || len(c.Shards) == 0 && now.Sub(c.Probed) > schemaLife {
		if err := s.probe(ctx, &c); err != nil {
			return event.Page{}, fmt.Errorf("read schema of %s: %w", s.spec.hunt.tables[0], err)
		}
		return event.Page{Cursor: encodeCursor(&c)}, nil
	}
	if len(c.Shards) == 0 {
		s.begin(&c, now)
	}
	page, rows, err := s.run(ctx, &c)
	switch {
	case err != nil && s.unknownTable(err):
		c.Table = "" // renamed, or gone
		return event.Page{Cursor: encodeCursor(&c)}, nil
	case err != nil:
		return s.failed(ctx, &c, err)
	case rows >= s.most:
		return s.split(&c, "a query of "+c.Table+" gives more rows than the service returns")
	}
	s.trouble = trouble{}
	s.advance(&c, &page)
	page.Cursor = encodeCursor(&c)
	return page, nil
}

// probe finds the name under which the tenant knows the table, and its columns.
func (s *huntSource) probe(ctx context.Context, c *huntCursor) error {
	var last error
	for _, table := range s.spec.hunt.tables {
		var columns []string
		_, err := s.ask(ctx, table+" | getschema | project ColumnName", func(raw []byte) {
			var row struct{ ColumnName string }
			if json.Unmarshal(raw, &row) == nil && row.ColumnName != "" {
				columns = append(columns, row.ColumnName)
			}
		})
		if err != nil && !s.unknownTable(err) {
			return err
		}
		if last = err; err != nil {
			continue
		}
		for _, want := range s.spec.hunt.required {
			if !slices.ContainsFunc(columns, func(have string) bool { return strings.EqualFold(have, want) }) {
				return fault.WithHint(fault.NewPermanent(fmt.Errorf("table %s has no column %s", table, want)), "Microsoft changed the table: take this source out of collect until appgovd knows the new form")
			}
		}
		slices.Sort(columns)
		c.Table, c.Columns, c.Probed = table, columns, s.time()
		return nil
	}
	return fault.WithHint(unlicensed(last), "the tenant has no such table: it is there with the licence and the connector of Microsoft Defender that fill it; tried again once a day")
}

func (s *huntSource) unknownTable(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusBadRequest && strings.Contains(r.message, "Failed to resolve table")
}

// has reports whether the table has a column, whatever its case.
func (c *huntCursor) has(name string) bool {
	return slices.ContainsFunc(c.Columns, func(have string) bool { return strings.EqualFold(have, name) })
}

// begin starts a pass: over what is new, or over what there is of apps.
func (s *huntSource) begin(c *huntCursor, now time.Time) {
	c.Pass++
	c.Begun, c.Lossy, c.Queries = now, false, 0
	if !s.spec.hunt.byTime {
		to := now
		from := now.Add(-huntReach)
		if s.spec.objects == event.ObjectAppCalls {
			from, to = s.day(c, now)
		}
		c.Shards = []shard{{From: floor(from), To: floor(to)}}
		return
	}
	if c.Start.IsZero() {
		s.start(c, now)
	}
	low := c.Mark.Add(-s.plan.overlap)
	if now.Sub(c.Deep) >= deepEvery {
		low, c.Deep = earlier(low, now.Add(-deepReach)), now
	}
	low = later(later(low, c.Start), floor(now.Add(-huntReach)))
	for ; low.Before(now); low = low.Add(widest) {
		c.Shards = append(c.Shards, shard{From: low, To: earlier(low.Add(widest), floor(now))})
	}
}

// start sets where a table of events is read from at first.
func (s *huntSource) start(c *huntCursor, now time.Time) {
	c.Start = floor(later(s.since(now).Add(-min(s.lookback, huntReach)), now.Add(-huntReach)))
	c.Mark, c.Deep = c.Start, now
}

// lastWhole is the end of the last day whose rows have come.
func lastWhole(now time.Time) time.Time { return now.Add(-deepReach / 8).Truncate(widest) }

// day is the one that the next pass sums up: the last whole one, again and again, since
// rows come late; before it those that were missed.
func (s *huntSource) day(c *huntCursor, now time.Time) (from, to time.Time) {
	to = lastWhole(now)
	next := lastWhole(s.since(now)) // of a first pass
	if !c.Mark.IsZero() {
		next = c.Mark.Add(widest)
	}
	next = later(next, to.Add(-huntReach+widest))
	to = earlier(to, next)
	return to.Add(-widest), to
}

// statement is the query of a shard.
func (s *huntSource) statement(c *huntCursor, sh shard) string {
	h := s.spec.hunt
	q := fmt.Sprintf("%s | where Timestamp >= datetime(%s) and Timestamp < datetime(%s)", c.Table, sh.From.Format(timeForm), sh.To.Format(timeForm))
	if sh.Of > 1 {
		q += fmt.Sprintf(" | where hash(%s, %d) == %d", h.required[0], sh.Of, sh.Part)
	}
	return q + " " + h.query(c.has)
}

// run sends the query of the first shard. rows is how many it gave.
func (s *huntSource) run(ctx context.Context, c *huntCursor) (page event.Page, rows int, err error) {
	of := c.Shards[0].From.Format(time.RFC3339Nano)
	_, err = s.ask(ctx, s.statement(c, c.Shards[0]), func(raw []byte) {
		rows++
		s.row(c, &page, of, raw)
	})
	return page, rows, err
}

func (s *huntSource) ask(ctx context.Context, query string, each func([]byte)) (links, error) {
	info, err := s.link(s.origin.String() + s.spec.version + "/security/runHuntingQuery")
	if err != nil {
		return links{}, err
	}
	body, err := json.Marshal(map[string]string{"Query": query})
	if err != nil {
		return links{}, fmt.Errorf("build query: %w", err)
	}
	info.Method = abs.POST
	info.SetStreamContentAndContentType(body, "application/json")
	return s.page(ctx, info, manner{form: formHunt}, each)
}

func (s *huntSource) row(c *huntCursor, page *event.Page, of string, raw []byte) {
	var objects []event.Object
	var events []event.Event
	_, err := whole(func(raw []byte) (struct{}, error) {
		var err error
		objects, events, err = s.decode(of, raw)
		return struct{}{}, err
	})(raw)
	if err != nil {
		page.Fetched++
		page.Quarantined = append(page.Quarantined, s.quarantine(raw, err))
		return
	}
	for _, e := range events {
		e.Source, e.Observed, e.Backfill = s.key, s.time(), !c.Based
		page.Events = append(page.Events, e)
	}
	page.Objects = append(page.Objects, objects...)
	page.Fetched += len(events) + len(objects)
}

func (s *huntSource) advance(c *huntCursor, page *event.Page) {
	slices.SortStableFunc(page.Events, func(a, b event.Event) int { return a.Time.Compare(b.Time) })
	c.Queries++
	c.Lossy = c.Lossy || len(page.Quarantined) > 0
	done := c.Shards[0]
	c.Shards = c.Shards[1:]
	last := len(c.Shards) == 0
	if s.spec.hunt.byTime {
		c.Mark = later(c.Mark, s.upstream(done.To))
	} else {
		// What an incomplete report does not tell of is no zero, in the first pass neither.
		first := !c.Based && s.spec.objects != event.ObjectAppCalls
		page.Sync = &event.Sync{Scope: s.spec.name, Kind: s.spec.objects, Generation: c.Pass, Baseline: !c.Based, Complete: last && (!c.Lossy || first)}
	}
	if !last {
		return
	}
	c.Based = true
	missed := false
	if s.spec.objects == event.ObjectAppCalls {
		c.Mark = later(c.Mark, done.To)
		missed = c.Mark.Before(lastWhole(s.time()))
	}
	c.Needs.Poll = float64(c.Queries*s.spec.cost) / s.plan.poll.Seconds()
	s.budget.need(s.key, c.Needs)
	page.CompleteThrough = s.upstream(c.Begun).Add(-s.plan.lateness)
	if s.spec.objects == event.ObjectAppCalls { // a report tells of whole days
		page.CompleteThrough = c.Mark
	}
	if page.Wait = s.jitter(s.plan.poll); missed {
		page.Wait = 0
	}
}

// failed decides what follows a query that gave no result: what is too much for one
// query is asked for in halves.
func (s *huntSource) failed(ctx context.Context, c *huntCursor, err error) (event.Page, error) {
	if tooLarge(err) || tooMuch(err) {
		return s.split(c, err.Error())
	}
	if !pageFault(err) && !unavailable(err) {
		return event.Page{}, fmt.Errorf("query %s: %w", c.Table, err)
	}
	if s.trouble = s.trouble.again(fmt.Sprint(c.Shards[0])); s.trouble.exhausted(err) && s.probe(ctx, c) == nil {
		return s.split(c, err.Error())
	}
	return event.Page{}, fmt.Errorf("query %s: %w", c.Table, err)
}

// tooMuch reports whether a query was refused for what it would return or cost: 400
// where the result is too large, 504 where it took too long.
func tooMuch(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	text := strings.ToLower(r.code + " " + r.message)
	return r.status == http.StatusGatewayTimeout ||
		r.status == http.StatusBadRequest && (strings.Contains(text, "exceed") || strings.Contains(text, "too large") || strings.Contains(text, "timeout") || strings.Contains(text, "timed out"))
}

// split asks for the first shard in two halves; where it cannot be halved, it is a gap.
func (s *huntSource) split(c *huntCursor, why string) (event.Page, error) {
	s.trouble = trouble{}
	sh := c.Shards[0]
	switch half := sh.To.Sub(sh.From) / 2; {
	case s.spec.hunt.byTime && half >= time.Second:
		mid := sh.From.Add(half.Truncate(time.Second))
		a, b := sh, sh
		a.To, b.From = mid, mid
		c.Shards = append([]shard{a, b}, c.Shards[1:]...)
	case sh.Of < maxShards:
		a, b := sh, sh
		n := max(sh.Of, 1)
		a.Of, b.Of, b.Part = 2*n, 2*n, sh.Part+n
		c.Shards = append([]shard{a, b}, c.Shards[1:]...)
	default:
		page := event.Page{Gaps: []event.Gap{{Source: s.key, From: sh.From, To: sh.To, Reason: "part " + strconv.Itoa(sh.Part) + " of " + c.Table + " does not fit one query: " + why, Advice: s.spec.elsewhere()}}}
		c.Lossy = true
		s.advance(c, &page)
		page.Cursor = encodeCursor(c)
		return page, nil
	}
	return event.Page{Cursor: encodeCursor(c)}, nil
}

// huntSpecs are the tables of advanced hunting. Those that tell what another source
// tells, or every call, are read only where collect names them.
func huntSpecs() []spec {
	hunt := func(name, class, object string, wanted bool, h hunted) spec {
		return spec{name: name, class: class, permission: "ThreatHunting.Read.All", family: familyHunting, cost: 1, version: stable, objects: object, inventory: class == event.ClassInventory, named: wanted, hunt: &h}
	}
	return []spec{
		hunt(nameOAuthApps, event.ClassInventory, event.ObjectGovernance, false, hunted{
			tables: []string{"OAuthAppInfo"}, required: []string{"ServicePrincipalId", "Timestamp", "OAuthAppId"}, every: "6h",
			query: func(has func(string) bool) string {
				// Rows are versions of apps.
				return "| summarize arg_max(Timestamp, *) by ServicePrincipalId " + project(has, "ServicePrincipalId", "Timestamp", "OAuthAppId", "AppStatus", "PrivilegeLevel", "Permissions", "ConsentedUsersCount", "IsAdminConsented", "LastUsedTime", "RiskScore")
			}}),
		hunt(nameGraphActivity, event.ClassInventory, event.ObjectAppCalls, false, hunted{
			tables: []string{"GraphAPIAuditEvents", "GraphApiAuditEvents"}, required: []string{"ApplicationId", "Timestamp", "ResponseStatusCode"}, every: "6h", query: callsQuery}),
		hunt(nameCloudAppEvents, event.ClassActivity, "", true, hunted{
			tables: []string{"CloudAppEvents"}, required: []string{"ReportId", "Timestamp", "ActionType", "OAuthAppId"}, every: "30m", byTime: true,
			query: func(has func(string) bool) string {
				return "| where isnotempty(OAuthAppId) " + project(has, "Timestamp", "ReportId", "ActionType", "ActivityType", "Application", "OAuthAppId", "AccountObjectId", "AccountDisplayName",
					"AccountType", "IPAddress", "CountryCode", "City", "ISP", "UserAgent", "ObjectName", "ObjectType", "ObjectId")
			}}),
		hunt(nameSpnSignIns, event.ClassSignIn, "", true, hunted{
			tables: []string{"EntraIdSpnSignInEvents", "AADSpnSignInEventsBeta"}, required: []string{"RequestId", "Timestamp", "ApplicationId"}, every: "30m", byTime: true,
			query: func(has func(string) bool) string {
				return project(has, "Timestamp", "RequestId", "ReportId", "Application", "ApplicationId", "IsManagedIdentity", "ErrorCode", "CorrelationId", "ServicePrincipalName", "ServicePrincipalId",
					"ResourceDisplayName", "ResourceId", "ResourceTenantId", "IPAddress", "Country", "City")
			}}),
	}
}

// project names the columns that a table has, of those that are read.
func project(has func(string) bool, columns ...string) string {
	return "| project " + strings.Join(slices.DeleteFunc(slices.Clone(columns), func(c string) bool { return !has(c) }), ", ")
}

// callsQuery adds up the calls of a day by app. A column that a tenant lacks is unknown,
// which is not zero.
func callsQuery(has func(string) bool) string {
	parts := []string{"Calls = count()", "Errors = countif(toint(ResponseStatusCode) >= 400)"}
	if has("ResponseSize") {
		parts = append(parts, "ResponseBytes = sum(tolong(ResponseSize))")
	}
	if has("AccountObjectId") { // a text is never null: of a call without a user it is empty
		users := "isnotempty(AccountObjectId)"
		if has("EntityType") {
			users += ` and EntityType =~ "user"`
		}
		parts = append(parts, "Users = dcountif(AccountObjectId, "+users+")")
	}
	if has("TargetWorkload") {
		parts = append(parts, "Services = make_set(TargetWorkload, 50)")
	}
	return "| where isnotempty(ApplicationId) | summarize " + strings.Join(parts, ", ") + " by ApplicationId"
}
