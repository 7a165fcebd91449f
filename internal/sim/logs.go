package sim

import (
	"cmp"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// logToken is the content of a $skiptoken of a log: where the reader is, and
// what it sees. Assumed: a set of pages is a snapshot of what was visible at
// its first page.
type logToken struct {
	Kind           kind
	From, To, AsOf int64
	Descending     bool
	After          int64 // the last row that was given
	AfterNumber    uint32
	AfterNth       uint8
	Top            int
}

func directoryAudits(k *call) reply {
	return k.logPage("activityDateTime", "directoryAudits")
}

// signIns: v1.0 has the interactive ones only and does not know
// signInEventTypes (reported: 400 on $filter and $select); beta has all four,
// interactive by default. Documented.
func signIns(k *call) reply {
	if !k.beta && (strings.Contains(k.q.Get("$filter"), "signInEventTypes") || strings.Contains(k.q.Get("$select"), "signInEventTypes")) {
		return refuse(http.StatusBadRequest, "BadRequest", "Could not find a property named 'signInEventTypes' on type 'microsoft.graph.signIn'.")
	}
	return k.logPage("createdDateTime", "signIns")
}

// logPage answers one page of a log.
func (k *call) logPage(timeField, set string) reply {
	var tok logToken
	if s := k.q.Get("$skiptoken"); s != "" {
		if !k.c.tokens.open(s, &tok) || (tok.Kind == kindAudit) != (set == "directoryAudits") || (!k.beta && tok.Kind > kindInteractive) {
			return refuse(http.StatusBadRequest, "BadRequest", "Skip token is null or malformed.")
		}
	} else if ans := k.firstPage(&tok, timeField, set); ans != nil {
		return *ans
	}
	return k.logRows(tok, set)
}

// firstPage reads the question; it returns an answer only when it is refused.
func (k *call) firstPage(tok *logToken, timeField, set string) *reply {
	top, ok := k.pageSize(k.c.o.LogPage, maxLogPage)
	if !ok { // assumed: documented is the greatest size, not the answer beyond it
		return problemOf(refuse(http.StatusBadRequest, "BadRequest", "Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", k.q.Get("$top"), maxLogPage))
	}
	descending, ok := orderOf(k.q.Get("$orderby"), timeField)
	if !ok {
		return problemOf(refuse(http.StatusBadRequest, "BadRequest", "The $orderby expression is not supported."))
	}
	*tok = logToken{From: math.MinInt64, To: math.MaxInt64, AsOf: k.now.UnixNano(), Descending: descending, Top: top}
	if set == "signIns" {
		tok.Kind = kindInteractive
	}
	if err := k.logFilter(tok, timeField); err != nil {
		return problemOf(refuse(http.StatusBadRequest, "BadRequest", "%s", err))
	}
	// Reported: dates beyond 90 days are refused as an invalid filter.
	if tok.From != math.MinInt64 && tok.From < k.now.AddDate(0, 0, -90).UnixNano() {
		return problemOf(refuse(http.StatusBadRequest, "BadRequest", "Invalid filter clause"))
	}
	return nil
}

func problemOf(r reply) *reply { return &r }

func (k *call) logFilter(tok *logToken, timeField string) error {
	clauses, err := parseFilter(k.q.Get("$filter"))
	if err != nil {
		return err
	}
	return tok.narrow(clauses, timeField)
}

// narrow applies the clauses of a filter.
func (tok *logToken) narrow(clauses []clause, timeField string) error {
	for _, cl := range clauses {
		var err error
		switch cl.field {
		case timeField:
			err = cl.narrow(&tok.From, &tok.To)
		case "signInEventTypes":
			tok.Kind, err = eventKind(cl)
		default:
			err = unsupported(cl)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// orderOf: newest first unless asked otherwise. Documented.
func orderOf(s, timeField string) (descending, ok bool) {
	switch strings.Join(strings.Fields(s), " ") {
	case "", timeField + " desc":
		return true, true
	case timeField, timeField + " asc":
		return false, true
	}
	return false, false
}

func (k *call) logRows(tok logToken, set string) reply {
	w := window{from: tok.From, to: tok.To, descending: tok.Descending, asOf: tok.AsOf}
	var after *row
	if tok.AfterNumber > 0 {
		after = &row{time: tok.After, number: tok.AfterNumber, nth: tok.AfterNth}
	}
	rows := k.c.rows(tok.Kind, w, after, tok.Top)
	body := object{k.context("auditLogs/" + set)}
	if len(rows) == tok.Top { // assumed: a full page has a next one, even if that is empty
		last := rows[len(rows)-1]
		tok.After, tok.AfterNumber, tok.AfterNth = last.time, last.number, last.nth
		q := k.q
		q.Set("$skiptoken", k.c.tokens.seal(tok))
		body = append(body, member{"@odata.nextLink", k.link(k.fault.ForeignNext, q)})
	}
	ans := reply{body: body, paged: true, items: make([]object, 0, len(rows))}
	for _, r := range rows {
		if k.fault.PoisonNumber > 0 && uint64(r.number) == k.fault.PoisonNumber {
			return refuse(http.StatusInternalServerError, "InternalServerError", "The record cannot be read.")
		}
		ans.items = append(ans.items, k.selected(k.c.record(r.number, tok.AsOf, k.beta)))
	}
	return ans
}

// alertToken is the content of a $skiptoken of alerts_v2.
type alertToken struct {
	Skip int
	AsOf int64
}

// alertsV2: documented filters; detectionSource is not one of them. Assumed:
// $orderby on its two times (reported in use for createdDateTime), newest
// first by default, $top at most 1000.
func alertsV2(k *call) reply {
	tok := alertToken{AsOf: k.now.UnixNano()}
	if s := k.q.Get("$skiptoken"); s != "" && !k.c.tokens.open(s, &tok) {
		return refuse(http.StatusBadRequest, "BadRequest", "Invalid skip token.")
	}
	top, ok := k.pageSize(100, maxAlertPage)
	if !ok {
		return refuse(http.StatusBadRequest, "BadRequest", "The limit of '%d' for Top query has been exceeded.", maxAlertPage)
	}
	k.c.mu.Lock()
	defer k.c.mu.Unlock()
	found, err := k.matching(time.Unix(0, tok.AsOf))
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", "%s", err)
	}
	body := object{k.context("security/alerts_v2")}
	rest := found[min(tok.Skip, len(found)):]
	if len(rest) > top {
		rest = rest[:top]
		tok.Skip += top
		q := k.q
		q.Set("$skiptoken", k.c.tokens.seal(tok))
		body = append(body, member{"@odata.nextLink", k.link(k.fault.ForeignNext, q)})
	}
	ans := reply{body: body, paged: true, items: make([]object, 0, len(rest))}
	for _, i := range rest {
		ans.items = append(ans.items, k.selected(k.c.alert(i, time.Unix(0, tok.AsOf))))
	}
	return ans
}

// matching lists the alerts that the filter lets through, in order.
func (k *call) matching(asOf time.Time) ([]int, error) {
	clauses, err := parseFilter(k.q.Get("$filter"))
	if err != nil {
		return nil, err
	}
	var found []int
	for i := range k.c.alerts {
		a := &k.c.alerts[i]
		fits, err := a.fits(clauses, asOf)
		if err != nil {
			return nil, err
		}
		if fits && !a.created().After(asOf) {
			found = append(found, i)
		}
	}
	key, sign, err := alertOrder(k.q.Get("$orderby"))
	slices.SortStableFunc(found, func(i, j int) int {
		return sign * cmp.Compare(key(&k.c.alerts[i], asOf), key(&k.c.alerts[j], asOf))
	})
	return found, err
}

func alertOrder(s string) (key func(*alert, time.Time) int64, sign int, err error) {
	field, way, _ := strings.Cut(strings.Join(strings.Fields(s), " "), " ")
	created := func(a *alert, _ time.Time) int64 { return a.created().UnixNano() }
	updated := func(a *alert, at time.Time) int64 { return a.state(at).at.UnixNano() }
	sign = 1
	if way == "desc" {
		sign = -1
	}
	switch field {
	case "":
		return created, -1, nil
	case "createdDateTime":
		return created, sign, nil
	case "lastUpdateDateTime":
		return updated, sign, nil
	}
	return created, sign, unsupported(clause{field: field})
}

func (a *alert) fits(clauses []clause, asOf time.Time) (bool, error) {
	st := a.state(asOf)
	for _, cl := range clauses {
		from, to := int64(math.MinInt64), int64(math.MaxInt64)
		var have string
		var at time.Time
		var err error
		switch cl.field {
		case "createdDateTime":
			at, err = a.created(), cl.strictly(&from, &to)
		case "lastUpdateDateTime":
			at, err = st.at, cl.strictly(&from, &to)
		case "serviceSource":
			have = a.service
		case "severity":
			have = a.severity
		case "status":
			have = st.status
		default:
			return false, unsupported(cl)
		}
		switch {
		case err != nil:
			return false, err
		case !at.IsZero() && (at.UnixNano() < from || at.UnixNano() > to):
			return false, nil
		case at.IsZero() && (cl.op != "eq" || have != cl.value):
			return false, nil
		}
	}
	return true, nil
}
