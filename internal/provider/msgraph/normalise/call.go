package normalise

import (
	_ "embed" // words.txt
	"strconv"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Call decodes one record of an app's calls to Microsoft Graph, or to Azure AD Graph
// before it: the properties of a diagnostic record, a row of Log Analytics, or a row
// of advanced hunting, which name the same things differently.
// https://learn.microsoft.com/graph/microsoft-graph-activity-logs-overview
// https://learn.microsoft.com/azure/azure-monitor/reference/tables/microsoftgraphactivitylogs
// https://learn.microsoft.com/azure/azure-monitor/reference/tables/aadgraphactivitylogs
// https://learn.microsoft.com/defender-xdr/advanced-hunting-graphapiauditevents-table
func (d *Decoder) Call(raw []byte) (e event.Event, err error) {
	w, o, err := d.begin(raw)
	if err == nil {
		err = w.call(&e, o)
	}
	d.rest(w, len(raw))
	return e, err
}

// The client ids of the two interfaces, the same in every tenant.
const (
	microsoftGraph = "00000003-0000-0000-c000-000000000000"
	azureADGraph   = "00000002-0000-0000-c000-000000000000"
)

func (w *work) call(e *event.Event, o object) error {
	if err := w.base(e, o, event.ClassCall, []string{"requestId", "RequestId"}, "timeGenerated", "TimeGenerated", "Timestamp"); err != nil {
		return err
	}
	e.Action, e.Service = event.ActionAppCall, "Microsoft Graph"
	e.Resource = event.Entity{Type: event.TypeServicePrincipal, AppID: microsoftGraph, Name: e.Service}
	c := &event.Call{
		Method: strings.ToUpper(o.str("requestMethod", "RequestMethod")), URI: o.str("requestUri", "RequestUri"), APIVersion: o.str("apiVersion", "ApiVersion", "operationVersion", "OperationVersion"),
		Duration: milliseconds(o.str("durationMs", "DurationMs", "RequestDuration")),
	}
	c.Status, _ = strconv.Atoi(o.str("responseStatusCode", "ResponseStatusCode"))
	if size := o.str("responseSizeBytes", "ResponseSizeBytes", "ResponseSize"); size != "" {
		n, err := strconv.ParseInt(size, 10, 64)
		c.Bytes, c.BytesKnown = max(n, 0), err == nil && n >= 0
	}
	legacy := isLegacyGraph(o, c.URI)
	if legacy {
		e.Service = "Azure AD Graph"
		e.Resource.AppID, e.Resource.Name = azureADGraph, e.Service
	}
	w.endpoint(c, legacy)
	if c.Workload == "other" {
		c.Workload = workloadOf(o.str("TargetWorkload"))
	}
	e.Call = c
	w.caller(e, o)
	callResult(e)
	return nil
}

// isLegacyGraph tells calls to Azure AD Graph, which Microsoft Graph took the place of.
func isLegacyGraph(o object, uri string) bool {
	rest, _ := strings.CutPrefix(uri, "https://")
	return strings.HasPrefix(rest, "graph.windows.net") || strings.HasPrefix(rest, "graph.microsoftazure.us") || strings.HasPrefix(rest, "graph.chinacloudapi.cn") ||
		strings.EqualFold(o.str("category", "Category"), "AzureADGraphActivityLogs") || strings.EqualFold(o.str("Type"), "AADGraphActivityLogs")
}

// caller says who called, by which token and from where. A call is an app's own or one
// on behalf of a user, never both; the location of the record is that of the service.
func (w *work) caller(e *event.Event, o object) {
	e.CorrelationID = or(o.str("clientRequestId", "ClientRequestId"), o.str("operationId", "OperationId"))
	e.App = event.App{ID: o.str("servicePrincipalId", "ServicePrincipalId"), AppID: o.str("appId", "AppId", "ApplicationId")}
	e.Origin = event.Origin{IP: o.str("ipAddress", "IPAddress", "IpAddress", "callerIpAddress", "CallerIpAddress"), UserAgent: o.str("userAgent", "UserAgent")}
	e.SignIn = event.SignIn{
		CredentialType: authMethod(o.str("clientAuthMethod", "ClientAuthMethod")), SessionID: o.str("sessionId", "SessionId"),
		UniqueToken: o.str("signInActivityId", "SignInActivityId", "uniqueTokenId", "UniqueTokenId", "UniqueTokenIdentifier"),
	}
	user := o.str("userId", "UserId")
	if strings.EqualFold(o.str("EntityType"), "user") {
		user = o.str("AccountObjectId")
	}
	if user == "" {
		e.Actor = event.Actor{Type: event.TypeApp, ID: e.App.ID, AppID: e.App.AppID}
	} else {
		e.Actor = event.Actor{Type: event.TypeUser, ID: user, AppID: e.App.AppID}
	}
	for _, list := range [...]string{o.str("scopes", "Scopes"), o.str("roles", "Roles")} {
		if names := strings.Fields(list); len(names) > 0 {
			e.Call.Permissions = append(e.Call.Permissions, names...)
		}
	}
}

func callResult(e *event.Event) {
	switch s := e.Call.Status; {
	case s == 0:
		return
	case s < 400:
		e.Result = event.ResultSuccess
	default:
		e.Result = event.ResultFailure
	}
	e.ResultCode = strconv.Itoa(e.Call.Status)
}

// authMethod is how the client proved what it is, in the words of sign-ins.
func authMethod(s string) string {
	switch s {
	case "0":
		return "none"
	case "1":
		return "clientSecret"
	case "2":
		return "certificate"
	}
	return s
}

func milliseconds(s string) time.Duration {
	ms, err := strconv.ParseFloat(s, 64)
	if err != nil || ms < 0 || ms > 1e9 {
		return 0
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// workloadOf is the workload that a row of advanced hunting names: "Microsoft.Exchange".
func workloadOf(s string) string {
	s = strings.ToLower(s)
	for _, x := range [...]struct{ part, workload string }{
		{"exchange", "exchange"}, {"outlook", "exchange"}, {"sharepoint", "sharepoint"}, {"onedrive", "sharepoint"}, {"teams", "teams"}, {"skype", "teams"},
		{"directory", "directory"}, {"aad", "directory"}, {"intune", "intune"}, {"security", "security"}, {"report", "reports"}, {"planner", "planner"}, {"onenote", "onenote"},
	} {
		if strings.Contains(s, x.part) {
			return x.workload
		}
	}
	return "other"
}

// words are the names that may stand in an endpoint, those of one workload in a line
// behind its name: "-" for names that tell none. What is none of them is an id.
//
//go:embed words.txt
var words string

// word is a name of the interface as it is written, and the workload that it tells.
type word struct{ name, workload string }

// readWords is the vocabulary by names in lower case.
func readWords() map[string]word {
	known := map[string]word{}
	for line := range strings.Lines(words) {
		list := strings.Fields(line)
		for _, name := range list[1:] {
			w := word{name, list[0]}
			if n, workload, other := strings.Cut(name, "="); other {
				w = word{n, workload}
			}
			if w.workload == "-" {
				w.workload = ""
			}
			known[strings.ToLower(w.name)] = w
		}
	}
	return known
}

const (
	maxSegments  = 8
	maxEndpoints = 4096 // that are kept as texts
)

// endpoint sets the shape of the path, its workload and the version of the interface.
// The workload is the first that a name tells beside the directory's, in which most
// paths begin.
func (w *work) endpoint(c *event.Call, legacy bool) {
	path, query, _ := strings.Cut(c.URI, "?")
	if _, rest, found := strings.Cut(path, "://"); found {
		_, path, _ = strings.Cut(rest, "/")
	}
	s := shape{words: w.words(), out: w.shape[:0], legacy: legacy}
	s.path(strings.Trim(path, "/"))
	w.shape = s.out
	if len(s.out) == 0 {
		s.out = append(s.out, '/')
	}
	c.Endpoint = w.texts.text(s.out)
	c.Workload = or(s.workload, "other")
	if c.APIVersion == "" {
		c.APIVersion = or(s.version, apiVersion(query))
	}
}

// apiVersion is the version that a query of Azure AD Graph names.
func apiVersion(query string) string {
	_, rest, found := strings.Cut(query, "api-version=")
	if !found {
		return ""
	}
	version, _, _ := strings.Cut(rest, "&")
	return version
}

// shape reduces a path to its shape.
type shape struct {
	words             map[string]word
	out               []byte
	segments          int
	legacy, named     bool // named: within a path that a colon opened
	version, workload string
}

func (s *shape) path(path string) {
	first := true
	for path != "" && s.segments < maxSegments {
		var segment string
		segment, path, _ = strings.Cut(path, "/")
		if first {
			first = false
			if s.begins(segment) {
				continue
			}
		}
		if segment != "" {
			s.segment(segment)
		}
	}
	if path != "" {
		s.put("*")
	}
}

// begins takes what stands before the path itself: a version, or a tenant.
func (s *shape) begins(segment string) bool {
	if strings.EqualFold(segment, "beta") || len(segment) >= 4 && len(segment) <= 8 && (segment[0]|0x20) == 'v' && strings.Contains(segment, ".") {
		s.version = segment
		return true
	}
	_, isWord := s.find(segment)
	return s.legacy && !isWord
}

// segment adds one part of the path: a name, a name with arguments or a key, an id, or
// a path of names between colons.
func (s *shape) segment(x string) {
	if s.named {
		if !strings.HasSuffix(x, ":") {
			return
		}
		s.named = false
		s.put("{path}:")
		return
	}
	name, arguments, called := strings.Cut(x, "(")
	opens := strings.HasSuffix(name, ":")
	w, isWord := s.find(strings.TrimSuffix(name, ":"))
	if !isWord {
		w.name = "{id}"
	}
	s.tell(w.workload)
	s.put(w.name)
	if called && arguments != ")" {
		s.put("{id}")
	}
	if opens {
		s.out = append(s.out, ':')
		s.named = true
	}
}

func (s *shape) tell(workload string) {
	if workload != "" && (s.workload == "" || s.workload == "directory") {
		s.workload = workload
	}
}

func (s *shape) put(x string) {
	if len(s.out) > 0 {
		s.out = append(s.out, '/')
	}
	s.out = append(s.out, x...)
	s.segments++
}

// find is a name without regard to case and to the namespace that it may be written with.
func (s *shape) find(x string) (word, bool) {
	const namespace = "microsoft.graph."
	if len(x) > len(namespace) && strings.EqualFold(x[:len(namespace)], namespace) {
		x = x[len(namespace):]
	}
	var room [64]byte
	if len(x) > len(room) {
		return word{}, false
	}
	low := room[:len(x)]
	for i := range len(x) {
		if low[i] = x[i]; 'A' <= x[i] && x[i] <= 'Z' {
			low[i] |= 0x20
		}
	}
	w, found := s.words[string(low)]
	return w, found
}

// texts keeps texts that come again and again, so that each is made once.
type texts map[string]string

func (t texts) text(b []byte) string {
	if s, found := t[string(b)]; found {
		return s
	}
	s := string(b)
	if len(t) < maxEndpoints {
		t[s] = s
	}
	return s
}
