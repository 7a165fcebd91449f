package sim

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Limits of pages. Documented: 1000 for the logs, 999 for the directory.
const (
	maxLogPage       = 1000
	maxDirectoryPage = 999
	maxAlertPage     = 1000
)

// call is one Graph request on its way to an answer.
type call struct {
	c     *Cloud
	r     *http.Request
	q     url.Values
	now   time.Time
	beta  bool
	id    string // request-id
	fault Faults
}

// reply is what a Graph handler answers: an object, or a problem.
type reply struct {
	body    object
	items   []object // rendered into value, behind the members of body
	paged   bool     // whether items is meant, empty or not
	problem *problem
}

// problem is an error answer in Graph's shape.
type problem struct {
	status        int
	code, message string
	location      string
}

func refuse(status int, code, format string, args ...any) reply {
	return reply{problem: &problem{status: status, code: code, message: fmt.Sprintf(format, args...)}}
}

type handler func(*call) reply

func (c *Cloud) routes() http.Handler {
	login, graph := http.NewServeMux(), http.NewServeMux()
	login.HandleFunc("POST /{tenant}/oauth2/v2.0/token", c.serveToken)
	login.HandleFunc("GET /{tenant}/v2.0/.well-known/openid-configuration", c.serveConfiguration)
	login.HandleFunc("GET /common/discovery/instance", c.serveInstance)
	c.control(login)
	c.officeRoutes(login)
	for _, version := range []string{"v1.0", "beta"} {
		for path, h := range c.graphPaths() {
			graph.HandleFunc("GET /"+version+path, c.graph(version == "beta", h))
		}
		graph.HandleFunc("POST /"+version+"/security/runHuntingQuery", c.graph(version == "beta", hunt))
		graph.HandleFunc("GET /"+version+"/", c.graph(version == "beta", noSegment))
	}
	return c.recorded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/v1.0/") || strings.HasPrefix(r.URL.Path, "/beta/") {
			graph.ServeHTTP(w, r)
			return
		}
		login.ServeHTTP(w, r)
	}))
}

// graphPaths are the resources that are simulated. Functions may be called
// with or without parentheses. Documented (OData).
func (c *Cloud) graphPaths() map[string]handler {
	paths := c.traitPaths()
	maps.Copy(paths, map[string]handler{
		"/applications/delta()":           deltaOf(colApplications),
		"/servicePrincipals/delta()":      deltaOf(colPrincipals),
		"/oauth2PermissionGrants/delta()": deltaOf(colGrants),

		"/applications":                             collectionOf(colApplications),
		"/applications/delta":                       deltaOf(colApplications),
		"/applications/{id}":                        memberOf(colApplications),
		"/servicePrincipals":                        collectionOf(colPrincipals),
		"/servicePrincipals/delta":                  deltaOf(colPrincipals),
		"/servicePrincipals/{id}":                   memberOf(colPrincipals),
		"/servicePrincipals/{id}/appRoleAssignedTo": assignments(func(a assignment) int { return a.resource }),
		"/servicePrincipals/{id}/appRoleAssignments": assignments(func(a assignment) int {
			return a.client
		}),
		"/oauth2PermissionGrants":       collectionOf(colGrants),
		"/oauth2PermissionGrants/delta": deltaOf(colGrants),
		"/oauth2PermissionGrants/{id}":  memberOf(colGrants),
		"/auditLogs/directoryAudits":    directoryAudits,
		"/auditLogs/signIns":            signIns,
		"/security/alerts_v2":           alertsV2,
		"/organization":                 organization,
	})
	return paths
}

// noSegment answers a path that is not simulated. Reported: a wrong segment is
// 400, never "no licence".
func noSegment(k *call) reply {
	return refuse(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'.", k.r.URL.Path)
}

func organization(k *call) reply {
	return reply{paged: true, items: []object{k.c.organization()}}
}

// graph is what all Graph requests go through: the clock moves, faults strike,
// the token and its roles are checked, the answer is written.
func (c *Cloud) graph(beta bool, h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		now := c.o.Now()
		c.mu.Lock()
		c.advance(now)
		c.requests++
		k := &call{c: c, r: r, q: r.URL.Query(), now: now, beta: beta, fault: c.faults}
		turn := c.random(domFault, c.requests)
		held, err := c.tokens.verify(bearer(r), now)
		c.mu.Unlock()

		w.Header().Set("Date", now.Add(k.fault.DateSkew).UTC().Format(http.TimeFormat))
		k.id = turn.guid()
		w.Header().Set("request-id", k.id)
		if err != nil {
			w.Header().Set("WWW-Authenticate", `Bearer realm="", authorization_uri="`+origin(r)+`/common/oauth2/authorize"`)
			k.fail(w, problem{status: http.StatusUnauthorized, code: "InvalidAuthenticationToken", message: err.Error()})
			return
		}
		if k.strike(w, turn, held) {
			return
		}
		ans := h(k)
		if ans.problem != nil {
			k.fail(w, *ans.problem)
			return
		}
		k.write(w, ans, turn)
	}
}

func bearer(r *http.Request) string {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return token
}

// origin is scheme and host as the client sees them: links are absolute.
func origin(r *http.Request) string {
	if r.TLS == nil {
		return "http://" + r.Host
	}
	return "https://" + r.Host
}

// write sends a good answer, or the beginning of one where the fault says so.
func (k *call) write(w http.ResponseWriter, ans reply, turn *rng) {
	w.Header().Set("x-ms-resource-unit", "1")
	w.Header().Set("Content-Type", "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8")
	b := appendAnswer(make([]byte, 0, 1<<12+len(ans.items)*1024), ans)
	if turn.chance(k.fault.Truncate) {
		truncate(w, b, turn)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}

func appendAnswer(b []byte, ans reply) []byte {
	b = appendObject(b, ans.body)
	if !ans.paged {
		return b
	}
	b = b[:len(b)-1]
	if len(ans.body) > 0 {
		b = append(b, ',')
	}
	b = append(b, `"value":`...)
	return append(appendArray(b, ans.items), '}')
}

// fail sends an error in Graph's documented shape.
func (k *call) fail(w http.ResponseWriter, p problem) {
	if p.location != "" {
		w.Header().Set("Location", p.location)
	}
	writeJSON(w, p.status, object{{"error", object{
		{"code", p.code}, {"message", p.message},
		{"innerError", object{{"date", k.now.UTC().Format("2006-01-02T15:04:05")}, {"request-id", k.id}, {"client-request-id", k.id}}},
	}}})
}

func writeJSON(w http.ResponseWriter, status int, o object) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(appendObject(nil, o))
}

// link is the address of this request with other parameters: an absolute URL,
// at another host where the faults say so.
func (k *call) link(foreign string, q url.Values) string {
	base := origin(k.r)
	if foreign != "" {
		base = foreign
	}
	return base + k.r.URL.Path + "?" + q.Encode()
}

// context is the @odata.context of the answer.
func (k *call) context(of string) member {
	version := "v1.0"
	if k.beta {
		version = "beta"
	}
	return member{"@odata.context", origin(k.r) + "/" + version + "/$metadata#" + of}
}

// pageSize is $top, or the preference odata.maxpagesize, or the default.
// Documented for directory collections.
func (k *call) pageSize(def, most int) (int, bool) {
	size := def
	if v, ok := preference(k.r, "odata.maxpagesize"); ok {
		size = min(v, most)
	}
	if t := k.q.Get("$top"); t != "" {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 || n > most {
			return 0, false
		}
		size = n
	}
	return max(size, 1), true
}

func preference(r *http.Request, name string) (int, bool) {
	for _, h := range r.Header.Values("Prefer") {
		for p := range strings.SplitSeq(h, ",") {
			if v, ok := strings.CutPrefix(strings.TrimSpace(p), name+"="); ok {
				n, err := strconv.Atoi(v)
				return n, err == nil && n > 0
			}
		}
	}
	return 0, false
}

// selected applies $select: the named members and those of OData itself.
func (k *call) selected(o object) object {
	sel := k.q.Get("$select")
	if sel == "" {
		return o
	}
	expanded, _, _ := strings.Cut(k.q.Get("$expand"), "(")
	return o.only(selection(sel + "," + expanded))
}

func selection(sel string) func(string) bool {
	names := map[string]bool{"id": true}
	for n := range strings.SplitSeq(sel, ",") {
		names[strings.TrimSpace(n)] = true
	}
	return func(n string) bool { return names[n] || strings.HasPrefix(n, "@") }
}
