package outbound

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/appgovd/appgovd/internal/fault"
)

// maxLink bounds a link of a peer; Graph's longest tokens are a few KiB.
const maxLink = 32 << 10

// maxRedirects within the allowed origins.
const maxRedirects = 3

// origin is scheme, host and port as RFC 6454 compares them.
type origin struct{ scheme, host, port string }

func originOf(u *url.URL) origin {
	o := origin{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()}
	if o.port == "" {
		switch o.scheme {
		case "https":
			o.port = "443"
		case "http":
			o.port = "80"
		}
	}
	return o
}

func (o origin) String() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return o.scheme + "://" + host + ":" + o.port
}

// CheckLink reports whether link, as received from a peer or read back from
// state, may be requested: it is absolute, has base's scheme, host and port, and
// names no user. The error is of class fault.Untrusted and shows no query.
func CheckLink(base *url.URL, link string) error {
	if len(link) > maxLink {
		return untrusted("a link of %d bytes", len(link))
	}
	u, err := url.Parse(link)
	if err != nil {
		return untrusted("a link that is not a URL")
	}
	if u.Opaque != "" || u.Host == "" {
		return untrusted("a link that is not absolute")
	}
	if u.User != nil {
		return untrusted("a link with a user name")
	}
	if got, want := originOf(u), originOf(base); got != want {
		return untrusted("a link to %q, which is not the configured origin %q", got, want)
	}
	return nil
}

func untrusted(format string, args ...any) error {
	err := fmt.Errorf("refuse link: the answer holds "+format, args...)
	return fault.WithHint(fault.NewUntrusted(err),
		"nothing was sent there; if the service really moved, change its URL in the configuration, and check who answers at the configured one")
}

// pinned sends requests to its origins only and bounds what comes back.
type pinned struct {
	next    http.RoundTripper
	origins []origin
	max     int64
}

// RoundTrip refuses a request to an origin that is not configured before
// anything of it leaves.
func (p *pinned) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := p.check(r.URL); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := p.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = LimitBody(resp.Body, p.max)
	return resp, nil
}

// CloseIdleConnections makes http.Client's method work through the pin.
func (p *pinned) CloseIdleConnections() {
	if c, ok := p.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func (p *pinned) check(u *url.URL) error {
	if len(p.origins) == 0 {
		return nil
	}
	got := originOf(u)
	for _, o := range p.origins {
		if o == got {
			return nil
		}
	}
	err := fmt.Errorf("refuse request: %q is not a configured origin (%s)", got, p.origins[0])
	return fault.WithHint(fault.NewUntrusted(err), "nothing was sent there; check the configured URL and who answers at it")
}

func (p *pinned) checkRedirect(r *http.Request, via []*http.Request) error {
	if len(p.origins) == 0 || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return p.check(r.URL)
}

// IsLoopback reports whether a host is this machine, where a test or a simulation may do
// without TLS.
func IsLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
