package msgraph

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// maxErrorBody is how much of a refusal is read; maxSaid how much is repeated.
const (
	maxErrorBody = 64 << 10
	maxSaid      = 400
)

// refusal is an answer that is not a page, in Graph's words:
// https://learn.microsoft.com/graph/errors.
type refusal struct {
	place   string
	status  int
	code    string
	message string
	request string // id to give to Microsoft's support
}

func readRefusal(resp *http.Response) *refusal {
	r := &refusal{status: resp.StatusCode, place: outbound.Place(resp.Request.URL), request: outbound.Clean(resp.Header.Get("request-id"), 64)}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var e struct {
		Error struct {
			Code    string `json:"code"`
			Message string `json:"message"`
		} `json:"error"`
	}
	if err := json.Unmarshal(body, &e); err == nil {
		r.code, r.message = outbound.Clean(e.Error.Code, 100), outbound.Clean(e.Error.Message, maxSaid)
	}
	return r
}

// Error is "get PLACE: STATUS CODE: MESSAGE".
func (r *refusal) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "get %s: %d", r.place, r.status)
	if r.code == "" {
		b.WriteString(" " + http.StatusText(r.status))
	} else {
		b.WriteString(" " + r.code)
	}
	if r.message != "" {
		b.WriteString(": " + r.message)
	}
	return b.String()
}

// RequestID is what Microsoft's support asks for. It is no part of the text, which
// stays the same from try to try.
func (r *refusal) RequestID() string { return r.request }

func (r *refusal) hint() string {
	switch {
	case r.code == "AF429":
		return "Microsoft limits the requests of all programs to the Management Activity API of a tenant: the quota grows with its seats and licences"
	case r.status == http.StatusTooManyRequests:
		return "Microsoft limits requests per app and tenant: another program with the same client_id shares the limit"
	case r.code == "AadPremiumLicenseRequired":
		return "the tenant lacks the licence (Microsoft Entra ID P1 or P2): take this source out of collect; it is tried again once a day"
	case r.noEndpoint():
		return "this cloud does not offer the endpoint: check graph_url, or take this source out of collect"
	case r.status == http.StatusBadRequest && strings.Contains(r.message, "Invalid filter clause"):
		return "the log does not reach back that far (Graph keeps 7 or 30 days, and refuses dates older than 90): lower initial_lookback"
	case r.status == http.StatusNotFound:
		return "the service is not provisioned in this tenant or cloud: take this source out of collect"
	default:
		return ""
	}
}

func (r *refusal) forbiddenHint(s spec, clientID string) string {
	permissions := s.needs()
	api, _ := s.api()
	switch {
	case r.code == "Authentication_RequestFromNonPremiumTenantOrB2CTenant":
		return "sign-in logs and the reports on sign-ins need a Microsoft Entra ID P1 or P2 licence in the tenant, and are tried again once a day; in a licensed tenant this answer means that the permission Directory.Read.All is missing beside " + permissions[0]
	case strings.Contains(r.message, "not licensed"):
		return "the tenant lacks the licence for this source: take it out of collect; it is tried again once a day"
	default:
		return "grant the application permission " + strings.Join(permissions, " and ") + " of " + api + " to the app " + clientID + " and give admin consent"
	}
}

// noEndpoint reports whether the service knows no such path.
func (r *refusal) noEndpoint() bool {
	return r.status == http.StatusBadRequest && strings.Contains(r.message, "segment")
}

// notInCloud reports whether this cloud, or this tenant of it, lacks the service.
func (r *refusal) notInCloud() bool { return r.noEndpoint() || r.status == http.StatusNotFound }

// noLicence reports whether only a purchase helps.
func (r *refusal) noLicence() bool {
	return r.code == "AadPremiumLicenseRequired" || r.code == "Authentication_RequestFromNonPremiumTenantOrB2CTenant" || strings.Contains(r.message, "not licensed")
}

// pageFault reports whether err tells of the page itself: it may go away when
// less is asked for at once. A connection that ends before the answer's header is
// one, since that is how Graph gives up on heavy requests; a connection that
// never came to be is none.
func pageFault(err error) bool {
	if fault.Of(err) != fault.Transient {
		return false
	}
	var (
		b    *broken
		r    *refusal
		lost *lostAnswer
	)
	return errors.As(err, &b) || errors.As(err, &lost) && !lost.unreached() || errors.As(err, &r) && r.status >= 500
}

// unavailable reports whether err is a 503 that asks for a pause: one that
// repeats tells of the page.
func unavailable(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusServiceUnavailable
}

// lostAnswer is a request that was sent, as far as we know, and not answered.
type lostAnswer struct{ err error }

func (e *lostAnswer) Error() string { return e.err.Error() }
func (e *lostAnswer) Unwrap() error { return e.err }

// unreached reports whether no connection came to be.
func (e *lostAnswer) unreached() bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(e.err, &dns) || errors.As(e.err, &op) && op.Op == "dial"
}

// silent reports whether err is an answer that did not come in time.
func silent(err error) bool {
	var lost *lostAnswer
	var slow net.Error
	return errors.As(err, &lost) && errors.As(err, &slow) && slow.Timeout()
}

// tooLarge reports whether the page will never fit as it is.
func tooLarge(err error) bool {
	var b *broken
	return errors.As(err, &b) && b.large
}

// stale reports whether a continuation link is no longer honoured: links cannot
// be resumed for ever, the window must be read again.
func stale(err error) bool {
	var r *refusal
	if !errors.As(err, &r) {
		return false
	}
	return r.status == http.StatusBadRequest || r.status == http.StatusNotFound || r.status == http.StatusGone
}

// gone reports whether a delta token is no longer honoured: 410, or a 40X whose
// code says so. See https://learn.microsoft.com/graph/delta-query-overview.
func gone(err error) bool {
	var r *refusal
	if !errors.As(err, &r) || r.status < 400 || r.status >= 500 {
		return false
	}
	code := strings.ToLower(r.code)
	return r.status == http.StatusGone || strings.Contains(code, "syncstate") || strings.Contains(code, "resync") ||
		strings.Contains(code, "expiredpagetoken")
}

// refusedTime reports whether the times of a filter were refused.
func refusedTime(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusBadRequest && (strings.Contains(r.message, "Invalid filter clause") || r.code == "AF20030" || r.code == "AF20055")
}

func isNotFound(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.status == http.StatusNotFound
}
