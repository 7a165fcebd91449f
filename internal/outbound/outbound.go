// Package outbound owns the plumbing of every outgoing HTTP request: TLS, proxy,
// time limits, origins that a client may talk to, bounded bodies, Retry-After
// and the translation of answers and failures into package fault. It knows no
// vendor and never tries twice.
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
	"os"
	"time"
)

// DefaultMaxBody bounds a response body where Options say nothing.
const DefaultMaxBody = 64 << 20

// Options of a Client. The zero value talks to any origin, with the system's
// certificate authorities and the proxy of the environment.
type Options struct {
	// Origins that may be reached, as scheme://host[:port]; any request or
	// redirect to another one fails before it leaves. Empty = any origin, and
	// then no redirect is followed at all.
	Origins []string
	// CAFile holds PEM certificates that are trusted instead of the system's;
	// RootCAs is the same as a value and wins.
	CAFile  string
	RootCAs *x509.CertPool
	// CertFile and KeyFile are a PEM client certificate, read at each handshake,
	// so that a renewed one needs no restart.
	CertFile, KeyFile string
	// ServerName overrides the name that the server's certificate must carry.
	ServerName string
	// Proxy is the URL of an HTTP(S) or SOCKS5 proxy; "" = HTTPS_PROXY and
	// NO_PROXY of the environment, "none" = no proxy.
	Proxy string

	// Dial opens the connections; nil = over the network. A test has one in memory.
	Dial Dial

	ConnectTimeout time.Duration // of dial and handshake, each; 0 = 10 s
	HeaderTimeout  time.Duration // until the answer's header; 0 = 60 s
	Timeout        time.Duration // of the whole exchange, body included; 0 = 5 min
	MaxBody        int64         // bytes of a decompressed answer; 0 = DefaultMaxBody
	MaxConns       int           // per host; 0 = 16
}

// Dial opens a connection, as net.Dialer's DialContext does.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// Client builds a client from o. The caller owns it; CloseIdleConnections
// releases what it holds. It follows at most three redirects, within Origins
// only. Use Do instead of its own Do, so that errors carry a class and no query.
func Client(o Options) (*http.Client, error) {
	o = o.withDefaults()
	t, err := transport(o)
	if err != nil {
		return nil, err
	}
	p := &pinned{next: t, max: o.MaxBody}
	for _, s := range o.Origins {
		u, err := url.Parse(s)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("build http client: %q is not an origin (scheme://host[:port])", s)
		}
		p.origins = append(p.origins, originOf(u))
	}
	return &http.Client{Transport: p, CheckRedirect: p.checkRedirect, Timeout: o.Timeout}, nil
}

func (o Options) withDefaults() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.ConnectTimeout, 10*time.Second)
	def(&o.HeaderTimeout, time.Minute)
	def(&o.Timeout, 5*time.Minute)
	if o.MaxBody == 0 {
		o.MaxBody = DefaultMaxBody
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: o.ConnectTimeout, KeepAlive: 30 * time.Second}).DialContext
	}
	if o.MaxConns == 0 {
		o.MaxConns = 16
	}
	return o
}

func transport(o Options) (*http.Transport, error) {
	conf, err := TLS(o)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFunc(o.Proxy)
	if err != nil {
		return nil, err
	}
	return &http.Transport{
		Proxy:                  proxy,
		DialContext:            o.Dial,
		TLSClientConfig:        conf,
		TLSHandshakeTimeout:    o.ConnectTimeout,
		ResponseHeaderTimeout:  o.HeaderTimeout,
		MaxResponseHeaderBytes: 1 << 20,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        90 * time.Second,
		ForceAttemptHTTP2:      true,
	}, nil
}

// TLS is the configuration that Client uses: TLS 1.2 or later, the authorities
// and the client certificate of o. It is exported for connections that are not
// HTTP.
func TLS(o Options) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs, ServerName: o.ServerName}
	if conf.RootCAs == nil && o.CAFile != "" {
		pool, err := ReadCAs(o.CAFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = pool
	}
	if o.CertFile == "" && o.KeyFile == "" {
		return conf, nil
	}
	if _, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile); err != nil {
		return nil, fmt.Errorf("read client certificate: %w", err)
	}
	conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		return &c, nil
	}
	return conf, nil
}

// ReadCAs reads a file of PEM certificates; a file without any is an error.
func ReadCAs(file string) (*x509.CertPool, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("read certificate authorities: %s holds no PEM certificate", file)
	}
	return pool, nil
}

func proxyFunc(proxy string) (func(*http.Request) (*url.URL, error), error) {
	switch proxy {
	case "":
		return http.ProxyFromEnvironment, nil
	case "none":
		return nil, nil
	}
	u, err := url.Parse(proxy)
	if err != nil {
		return nil, errors.New("parse proxy: not a URL")
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
	default:
		return nil, fmt.Errorf("parse proxy: scheme %q is none of http, https, socks5", u.Scheme)
	}
	if u.Host == "" {
		return nil, errors.New("parse proxy: no host")
	}
	return http.ProxyURL(u), nil
}
