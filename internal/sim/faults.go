package sim

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Faults is how the cloud misbehaves at the moment. Shares are of requests,
// from 0 to 1; which requests are hit depends on the seed and their number.
type Faults struct {
	Throttle        float64 `json:"throttle"`        // 429 with Retry-After
	ServerErrors    float64 `json:"serverErrors"`    // 500, 502, 503, 504
	Truncate        float64 `json:"truncate"`        // bodies that end early
	Gone            int     `json:"gone"`            // so many delta tokens are refused
	GoneAsSyncState bool    `json:"goneAsSyncState"` // refused by 400 syncStateNotFound instead of 410

	ForeignNext       string        `json:"foreignNext"`       // base URL that nextLinks point to
	ForeignDelta      string        `json:"foreignDelta"`      // base URL that deltaLinks point to
	Redirect          string        `json:"redirect"`          // every Graph request is answered 302 to this base URL
	Forbid            []string      `json:"forbid"`            // Graph paths behind the version that begin so are answered 403
	ForbidHTML        []string      `json:"forbidHTML"`        // the same with a page of HTML
	PoisonNumber      uint64        `json:"poisonNumber"`      // every page with this record is answered 500
	DateSkew          time.Duration `json:"dateSkew"`          // that the Date header of every answer is wrong by
	ExpireTokens      bool          `json:"expireTokens"`      // all tokens issued so far are expired (once, when set)
	Unlicensed        []string      `json:"unlicensed"`        // licences that the tenant lacks: "p1", "p2", "defender", "workload", "m365"
	OldTables         bool          `json:"oldTables"`         // tables of advanced hunting have their former names, and lack a column
	NoAudit           bool          `json:"noAudit"`           // the audit log of the tenant is off
	NoSubscription    bool          `json:"noSubscription"`    // it says that there is no subscription, whatever was started
	StopSubscriptions bool          `json:"stopSubscriptions"` // all subscriptions end (once, when set)
	ForeignContent    string        `json:"foreignContent"`    // base URL of contents
	PoisonContent     string        `json:"poisonContent"`     // contents with this in their id are answered 500

	RiskyConsent bool   `json:"riskyConsent"` // users may consent to risky apps: the authorization policy
	ClientSecret string `json:"clientSecret"` // the secret that holds instead of the client's first one: it was rotated
}

func (o Options) faults() Faults {
	return Faults{Throttle: o.Throttle, ServerErrors: o.ServerErrors, Truncate: o.Truncate, Gone: o.Gone, Unlicensed: o.Unlicensed}
}

// SetFaults replaces the faults; the zero Faults is a quiet phase.
func (c *Cloud) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.ExpireTokens {
		c.tokens.epoch++
		f.ExpireTokens = false
	}
	if f.StopSubscriptions {
		clear(c.office.started)
		f.StopSubscriptions = false
	}
	c.faults, c.riskyConsent = f, f.RiskyConsent
}

// Faults are those in force, with the refusals of delta tokens still to come.
func (c *Cloud) Faults() Faults {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults
}

// Requests is the number of Graph requests so far.
func (c *Cloud) Requests() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests
}

// strike lets a fault or a limit answer a request. It reports whether it did.
func (k *call) strike(w http.ResponseWriter, turn *rng, cl claims) bool {
	path := "/" + strings.SplitN(k.r.URL.Path, "/", 3)[2]
	switch role, held := k.c.tokens.holds(cl, path); {
	case k.fault.Redirect != "":
		http.Redirect(w, k.r, k.fault.Redirect+k.r.URL.RequestURI(), http.StatusFound)
	case begins(path, k.fault.ForbidHTML):
		// Reported: a gateway in front of the service answers so, for a while.
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("<html><body><h1>403 Forbidden</h1><p>Application Gateway</p></body></html>"))
	case begins(path, k.fault.Forbid) || !held:
		k.fail(w, problem{status: http.StatusForbidden, code: "Authorization_RequestDenied",
			message: "Insufficient privileges to complete the operation. The caller needs " + role + "."})
	case k.unlicensed(w, path):
	case turn.chance(k.fault.Throttle) || !k.c.limits.allow(path, k.now):
		k.throttle(w)
	case turn.chance(k.fault.ServerErrors):
		status := pick(turn, []int{500, 502, 503, 504})
		k.fail(w, problem{status: status, code: "UnknownError", message: http.StatusText(status)})
	default:
		return false
	}
	return true
}

// unlicensed refuses what the tenant has no licence for. Reported bodies; which
// licence opens what is documented.
func (k *call) unlicensed(w http.ResponseWriter, path string) bool {
	lacks := func(l string) bool { return slices.Contains(k.fault.Unlicensed, l) }
	switch {
	case lacks("p1") && strings.HasPrefix(path, "/auditLogs/signIns"):
		k.fail(w, problem{status: http.StatusForbidden, code: "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
			message: "Neither tenant is B2C or tenant doesn't have premium license"})
	case lacks("p1") && strings.HasPrefix(path, "/reports"): // assumed
		k.fail(w, problem{status: http.StatusForbidden, code: "Authentication_RequestFromNonPremiumTenantOrB2CTenant",
			message: "Neither tenant is B2C or tenant doesn't have premium license"})
	case lacks("p2") && strings.HasPrefix(path, "/roleManagement/directory/roleEligibility"):
		k.fail(w, problem{status: http.StatusBadRequest, code: "AadPremiumLicenseRequired",
			message: "The tenant needs to have Microsoft Entra ID P2 or Microsoft Entra ID Governance license."})
	case lacks("workload") && strings.HasPrefix(path, "/identityProtection"):
		k.fail(w, problem{status: http.StatusForbidden, code: "Forbidden", message: "Your tenant is not licensed for this feature."})
	default:
		return false
	}
	return true
}

// throttle answers 429. Documented: Retry-After in whole seconds.
func (k *call) throttle(w http.ResponseWriter) {
	after := int(math.Ceil(k.c.o.RetryAfter.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(after))
	k.fail(w, problem{status: http.StatusTooManyRequests, code: "TooManyRequests", message: "Too many requests, please try again later."})
}

func begins(path string, with []string) bool {
	return slices.ContainsFunc(with, func(p string) bool { return strings.HasPrefix(path, p) })
}

// truncate ends a body early in one of two ways: the connection breaks, or the
// answer is complete and its JSON is not.
func truncate(w http.ResponseWriter, b []byte, turn *rng) {
	cut := b[:1+turn.intn(len(b)-1)]
	if turn.chance(0.5) {
		w.Header().Set("Content-Length", strconv.Itoa(len(cut)))
		_, _ = w.Write(cut)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(cut)
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler) // net/http: closes the connection
}

// needs is which application permissions open a path, least first. Documented.
func needs(path string) []string {
	switch {
	case strings.HasPrefix(path, "/oauth2PermissionGrants"):
		return []string{"Directory.Read.All"}
	case strings.HasPrefix(path, "/applications"), strings.HasPrefix(path, "/servicePrincipals"):
		return []string{"Application.Read.All", "Directory.Read.All"}
	case strings.HasPrefix(path, "/auditLogs/directoryAudits"):
		return []string{"AuditLog.Read.All", "Directory.Read.All"}
	case strings.HasPrefix(path, "/auditLogs"):
		return []string{"AuditLog.Read.All"}
	case strings.HasPrefix(path, "/security/runHuntingQuery"):
		return []string{"ThreatHunting.Read.All"}
	case strings.HasPrefix(path, "/security"):
		return []string{"SecurityAlert.Read.All"}
	case strings.HasPrefix(path, "/roleManagement/directory/roleEligibility"):
		return []string{"RoleEligibilitySchedule.Read.Directory"}
	case strings.HasPrefix(path, "/roleManagement"):
		return []string{"RoleManagement.Read.Directory", "Directory.Read.All"}
	case strings.HasPrefix(path, "/groups"):
		return []string{"GroupMember.Read.All", "Directory.Read.All"}
	case strings.HasPrefix(path, "/policies/permissionGrantPolicies"):
		return []string{"Policy.Read.PermissionGrant"}
	case strings.HasPrefix(path, "/policies"):
		return []string{"Policy.Read.All"}
	case strings.HasPrefix(path, "/identityGovernance"):
		return []string{"ConsentRequest.Read.All"}
	case strings.HasPrefix(path, "/reports"):
		return []string{"AuditLog.Read.All"}
	case strings.HasPrefix(path, "/identityProtection/servicePrincipalRiskDetections"):
		return []string{"IdentityRiskEvent.Read.All"}
	case strings.HasPrefix(path, "/identityProtection"):
		return []string{"IdentityRiskyServicePrincipal.Read.All"}
	case strings.HasPrefix(path, "/organization"):
		return []string{"Organization.Read.All", "Directory.Read.All"}
	}
	return nil
}

func allRoles() []string {
	return []string{"Application.Read.All", "Directory.Read.All", "AuditLog.Read.All", "SecurityAlert.Read.All", "ThreatHunting.Read.All", "RoleManagement.Read.Directory",
		"RoleEligibilitySchedule.Read.Directory", "Policy.Read.All", "Policy.Read.PermissionGrant", "ConsentRequest.Read.All", "IdentityRiskEvent.Read.All", "IdentityRiskyServicePrincipal.Read.All", "ActivityFeed.Read", "ActivityFeed.ReadDlp"}
}

// holds reports whether a token opens a path, and the permission to ask for.
func (t *tokenizer) holds(cl claims, path string) (string, bool) {
	want := needs(path)
	if len(want) == 0 {
		return "another permission", true
	}
	return want[0], slices.ContainsFunc(want, func(p string) bool { return slices.Contains(cl.Roles, p) })
}

// limits are the documented throttling limits of one app in one tenant:
// reports 5 requests in 10 s, security 150 in a minute, identity and access
// 3,500 resource units in 10 s, of which each request here costs 2. No window of
// that length, wherever it begins, holds more. What is refused does not count
// (assumed).
type limits struct {
	mu                                                     sync.Mutex
	reports, security, identity, protection, hunting, feed *quota
}

func newLimits(enforced bool) *limits {
	if !enforced {
		return &limits{}
	}
	return &limits{
		reports:    &quota{span: 10 * time.Second, limit: 5},
		security:   &quota{span: time.Minute, limit: 150},
		identity:   &quota{span: 10 * time.Second, limit: 3500},
		protection: &quota{span: time.Second, limit: 1},
		hunting:    &quota{span: time.Minute, limit: 45},
		feed:       &quota{span: time.Minute, limit: 2000},
	}
}

func (l *limits) allow(path string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w, cost := l.identity, 2
	switch {
	case strings.HasPrefix(path, "/auditLogs"), strings.HasPrefix(path, "/reports"):
		w, cost = l.reports, 1
	case strings.HasPrefix(path, "/activity/feed"):
		w, cost = l.feed, 1
	case strings.HasPrefix(path, "/identityProtection"):
		w, cost = l.protection, 1
	case strings.HasPrefix(path, "/security/runHuntingQuery"):
		w, cost = l.hunting, 1
	case strings.HasPrefix(path, "/security"):
		w, cost = l.security, 1
	}
	return w == nil || w.allow(now, cost)
}

// quota counts what was allowed in the time just past.
type quota struct {
	span  time.Duration
	limit int
	used  int
	taken []taken // oldest first
}

type taken struct {
	at   time.Time
	cost int
}

func (w *quota) allow(now time.Time, cost int) bool {
	for len(w.taken) > 0 && now.Sub(w.taken[0].at) >= w.span {
		w.used -= w.taken[0].cost
		w.taken = w.taken[1:]
	}
	if w.used+cost > w.limit {
		return false
	}
	w.used += cost
	w.taken = append(w.taken, taken{now, cost})
	return true
}
