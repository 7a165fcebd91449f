package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
)

// maxRetryAfter bounds what a peer may ask for, so that one broken header does
// not silence a source for a year.
const maxRetryAfter = time.Hour

// RetryAfter reads the Retry-After header (RFC 9110, section 10.2.3): seconds
// or an HTTP date. 0 means that it is absent, unreadable or past; more than an
// hour counts as an hour.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(t.Sub(now), 0), maxRetryAfter)
}

// Classify marks err with the class that the status of an answer stands for:
// 429, and 503 with Retry-After, are throttled; 401, 403 and 407 need a human;
// 408, 425 and 5xx are transient; everything else will never work as it is. A
// 2xx status gives nil.
func Classify(status int, h http.Header, now time.Time, err error) error {
	after := RetryAfter(h, now)
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && after > 0:
		return fault.NewThrottled(after, err)
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired:
		return fault.NewAuth(err)
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return err
	default:
		return fault.NewPermanent(err)
	}
}

// Do sends r once. An error names method, host and path, never the query, and
// carries a class and, where an operator can help, a hint. The caller closes
// the body.
func Do(c *http.Client, r *http.Request) (*http.Response, error) {
	resp, err := c.Do(r)
	if err == nil {
		return resp, nil
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return nil, Explain(fmt.Errorf("%s %s: %w", strings.ToLower(r.Method), Place(r.URL), err))
}

// Place is u without user, query and fragment: what may be logged.
func Place(u *url.URL) string {
	return Clean(u.Scheme+"://"+u.Host+u.EscapedPath(), 512)
}

// Explain adds a hint to failures of the network, and the class auth to those
// that a human must mend: certificates. Everything else stays as it is.
func Explain(err error) error {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		op        *net.OpError
		slow      net.Error
	)
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return err
	case errors.As(err, &authority):
		return mend(err, "the server's certificate is signed by an authority that is not trusted here: set ca_file to the PEM file of that authority (a TLS-inspecting proxy has one of its own)")
	case errors.As(err, &host):
		return mend(err, "the server's certificate is for another name: check the host in the configured URL")
	case errors.As(err, &invalid):
		return mend(err, "the server's certificate is not valid (expired or not for this use): renew it, and check this machine's clock")
	case errors.As(err, &record):
		return mend(err, "the server does not speak TLS on this port: check the scheme and the port of the configured URL")
	case errors.As(err, &op) && op.Op == "remote error":
		return mend(err, "the server refused us while shaking hands: it may want a client certificate (cert_file and key_file), or one signed by another authority")
	case errors.As(err, &dns):
		return fault.WithHint(err, "the host name does not resolve: check the configured URL, DNS and the proxy")
	case errors.Is(err, syscall.ECONNREFUSED):
		return fault.WithHint(err, "nothing listens at that address: check host and port, the server, and the firewall before it")
	case errors.As(err, &slow) && slow.Timeout():
		return fault.WithHint(err, "the server does not answer in time: check host and port, the firewall before it, and whether it is overloaded")
	default:
		return err
	}
}

func mend(err error, hint string) error { return fault.WithHint(fault.NewAuth(err), hint) }
