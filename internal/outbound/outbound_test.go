package outbound

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/appgovd/appgovd/internal/fault"
)

func get(t *testing.T, c *http.Client, target string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer token")
	return Do(c, r)
}

func client(t *testing.T, o Options) *http.Client {
	t.Helper()
	c, err := Client(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func TestPin(t *testing.T) {
	var reached atomic.Int32
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer foreign.Close()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, foreign.URL+"/x?secret=1", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			_, _ = io.WriteString(w, "ok")
		}
	}))
	defer home.Close()
	c := client(t, Options{Origins: []string{home.URL}})

	t.Run("a request to a foreign origin does not leave", func(t *testing.T) {
		resp, err := get(t, c, foreign.URL+"/?token=hush")
		if err == nil {
			_ = resp.Body.Close()
			t.Fatal("no error")
		}
		if fault.Of(err) != fault.Untrusted || strings.Contains(err.Error(), "hush") {
			t.Fatalf("class %v, text %q", fault.Of(err), err)
		}
	})
	t.Run("a redirect to a foreign origin is not followed", func(t *testing.T) {
		resp, err := get(t, c, home.URL+"/away")
		if err == nil {
			_ = resp.Body.Close()
			t.Fatal("no error")
		}
		if fault.Of(err) != fault.Untrusted || fault.Hint(err) == "" {
			t.Fatalf("class %v, error %v", fault.Of(err), err)
		}
	})
	t.Run("a redirect within the origin is followed", func(t *testing.T) {
		resp, err := get(t, c, home.URL+"/here")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d", resp.StatusCode)
		}
	})
	t.Run("a circle of redirects ends", func(t *testing.T) {
		resp, err := get(t, c, home.URL+"/round")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusFound {
			t.Fatalf("status %d", resp.StatusCode)
		}
	})
	t.Run("without origins no redirect is followed", func(t *testing.T) {
		resp, err := get(t, client(t, Options{}), home.URL+"/away")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusFound {
			t.Fatalf("status %d", resp.StatusCode)
		}
	})
	if n := reached.Load(); n != 0 {
		t.Fatalf("%d requests reached the foreign host", n)
	}
}

func TestCheckLink(t *testing.T) {
	base, _ := url.Parse("https://graph.microsoft.com/v1.0")
	for _, tt := range []struct {
		story, link string
		ok          bool
	}{
		{"the next page of the same origin", "https://graph.microsoft.com/v1.0/auditLogs/signIns?$skiptoken=x", true},
		{"the default port written out", "https://graph.microsoft.com:443/v1.0/x", true},
		{"another case of the host", "https://Graph.Microsoft.COM/v1.0/x", true},
		{"another host", "https://graph.microsoft.com.evil.example/x", false},
		{"a host that only looks the same", "https://graph.micr\u043esoft.com/x", false},
		{"another port", "https://graph.microsoft.com:8443/x", false},
		{"another scheme", "http://graph.microsoft.com/x", false},
		{"a user before a foreign host", "https://graph.microsoft.com@evil.example/x", false},
		{"a user before the right host", "https://user:pw@graph.microsoft.com/x", false},
		{"a relative link", "/v1.0/x", false},
		{"a link without a scheme", "//graph.microsoft.com/x", false},
		{"an opaque link", "https:graph.microsoft.com", false},
		{"a backslash", `https://graph.microsoft.com\@evil.example/`, false},
		{"a final dot", "https://graph.microsoft.com./x", false},
		{"nothing", "", false},
		{"a line break", "https://graph.microsoft.com/\r\nHost: evil", false},
		{"a link of a megabyte", "https://graph.microsoft.com/" + strings.Repeat("x", 1<<20), false},
	} {
		t.Run(tt.story, func(t *testing.T) {
			err := CheckLink(base, tt.link)
			if (err == nil) != tt.ok {
				t.Fatalf("CheckLink(%.80q) = %v", tt.link, err)
			}
			if err != nil && fault.Of(err) != fault.Untrusted {
				t.Fatalf("class %v", fault.Of(err))
			}
		})
	}
}

// FuzzCheckLink: a link that passes is requested at the base's host, whatever
// net/http makes of it.
func FuzzCheckLink(f *testing.F) {
	for _, s := range []string{"https://a.example/x?y", "https://a.example:443", "https://a.example@b", "https://a.example\\@b", "//a.example", "https://A.EXAMPLE/%2e%2e//b"} {
		f.Add(s)
	}
	base, _ := url.Parse("https://a.example")
	f.Fuzz(func(t *testing.T, link string) {
		if CheckLink(base, link) != nil {
			return
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link, nil)
		if err != nil {
			return
		}
		if !strings.EqualFold(r.URL.Hostname(), "a.example") || r.URL.Scheme != "https" || r.URL.User != nil {
			t.Fatalf("%q is requested at %q", link, r.URL.Host)
		}
		if p := r.URL.Port(); p != "" && p != "443" {
			t.Fatalf("%q is requested at port %q", link, p)
		}
	})
}

func TestLimitBody(t *testing.T) {
	for _, tt := range []struct {
		story string
		body  string
		limit int64
		large bool
	}{
		{"a body below the limit is read whole", "12345", 6, false},
		{"a body of exactly the limit is read whole", "123456", 6, false},
		{"a body over the limit is an error, not a shorter body", "1234567", 6, true},
		{"an empty body is no error", "", 0, false},
	} {
		t.Run(tt.story, func(t *testing.T) {
			b, err := io.ReadAll(LimitBody(io.NopCloser(strings.NewReader(tt.body)), tt.limit))
			if errors.Is(err, ErrTooLarge) != tt.large || (err != nil) != tt.large {
				t.Fatalf("error %v", err)
			}
			if !tt.large && string(b) != tt.body || int64(len(b)) > tt.limit {
				t.Fatalf("read %q", b)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		story, value string
		want         time.Duration
	}{
		{"seconds", "7", 7 * time.Second},
		{"a date", "Tue, 24 Nov 2026 12:01:00 GMT", time.Minute},
		{"a date that is past", "Tue, 24 Nov 2026 11:01:00 GMT", 0},
		{"nothing", "", 0},
		{"a word", "soon", 0},
		{"a negative number", "-5", 0},
		{"a year", "31536000", time.Hour},
		{"a number beyond all integers", "99999999999999999999", 0},
	} {
		t.Run(tt.story, func(t *testing.T) {
			h := http.Header{}
			h.Set("Retry-After", tt.value)
			if got := RetryAfter(h, now); got != tt.want {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestClassify(t *testing.T) {
	cause := errors.New("cause")
	wait := http.Header{"Retry-After": {"3"}}
	for _, tt := range []struct {
		status int
		h      http.Header
		want   fault.Class
		after  time.Duration
	}{
		{429, wait, fault.Throttled, 3 * time.Second},
		{429, nil, fault.Throttled, 0},
		{503, wait, fault.Throttled, 3 * time.Second},
		{503, nil, fault.Transient, 0},
		{500, nil, fault.Transient, 0},
		{408, nil, fault.Transient, 0},
		{401, nil, fault.Auth, 0},
		{403, nil, fault.Auth, 0},
		{400, nil, fault.Permanent, 0},
		{302, nil, fault.Permanent, 0},
	} {
		err := Classify(tt.status, tt.h, time.Now(), cause)
		if !errors.Is(err, cause) || fault.Of(err) != tt.want || fault.After(err) != tt.after {
			t.Errorf("%d: %v, %v after %v", tt.status, err, fault.Of(err), fault.After(err))
		}
	}
	if err := Classify(204, nil, time.Now(), cause); err != nil {
		t.Errorf("204: %v", err)
	}
}

func TestCertificates(t *testing.T) {
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok") }))
	srv.Config.ErrorLog = nil
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("the authority of ca_file is trusted", func(t *testing.T) {
		resp, err := get(t, client(t, Options{CAFile: ca}), srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	})
	t.Run("an unknown authority is told with a hint", func(t *testing.T) {
		resp, err := get(t, client(t, Options{}), srv.URL)
		if err == nil {
			_ = resp.Body.Close()
			t.Fatal("no error")
		}
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "ca_file") {
			t.Fatalf("%v: %v, hint %q", fault.Of(err), err, fault.Hint(err))
		}
	})
	t.Run("a file without certificates is refused at once", func(t *testing.T) {
		empty := filepath.Join(t.TempDir(), "empty.pem")
		if err := os.WriteFile(empty, []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Client(Options{CAFile: empty}); err == nil || !strings.Contains(err.Error(), "no PEM certificate") {
			t.Fatalf("error %v", err)
		}
	})
	t.Run("a proxy of an unknown scheme is refused at once", func(t *testing.T) {
		if _, err := Client(Options{Proxy: "ftp://proxy"}); err == nil {
			t.Fatal("no error")
		}
	})
}

func TestClean(t *testing.T) {
	for _, tt := range []struct{ story, in, want string }{
		{"line breaks and escapes become spaces", "a\r\nb\x1b[31mc", "a b [31mc"},
		{"a right-to-left override becomes a space", "a\u202eb", "a b"},
		{"a long text is cut between characters", "ööööö", "öö..."},
	} {
		t.Run(tt.story, func(t *testing.T) {
			limit := 100
			if strings.HasPrefix(tt.in, "ö") {
				limit = 5
			}
			if got := Clean(tt.in, limit); got != tt.want {
				t.Fatalf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Clean is what the same takes in three plain steps: replace, join, cut.
func TestCleanIsWhatPlainStepsMake(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{" ", "\n", "\x00", "\u00a0", "\u0085", "\u202e", "\xff", "é", "世", "...", "a"}))).Draw(t, "text"), "")
		limit := rapid.IntRange(0, 40).Draw(t, "limit")
		want := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
			if r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
				return ' '
			}
			return r
		}, text)), " ")
		if cut := limit; len(want) > limit {
			for cut > 0 && !utf8.RuneStart(want[cut]) {
				cut--
			}
			want = want[:cut] + "..."
		}
		if got := Clean(text, limit); got != want {
			t.Fatalf("%q, want %q", got, want)
		}
	})
}

func TestCancel(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/?q=hush", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := Do(client(t, Options{}), r)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "hush") {
		t.Fatalf("error %v", err)
	}
}

func TestExplainSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		class fault.Class
		hint  string
	}{
		{"nothing listens", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, fault.Transient, "nothing listens"},
		{"silence", &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, fault.Transient, "does not answer in time"},
		{"a refused handshake", &net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, fault.Auth, "client certificate"},
		{"an unknown name", &net.DNSError{Name: "x.invalid", IsNotFound: true}, fault.Transient, "does not resolve"},
		{"an unknown authority", x509.UnknownAuthorityError{}, fault.Auth, "ca_file"},
		{"what nobody can explain stays as it is", io.ErrUnexpectedEOF, fault.Transient, ""},
		{"a request that was given up stays as it is", context.Canceled, fault.Transient, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := Explain(fmt.Errorf("get thing: %w", tt.err))
			if fault.Of(err) != tt.class || !strings.Contains(fault.Hint(err), tt.hint) || tt.hint == "" && fault.Hint(err) != "" || !errors.Is(err, tt.err) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
}
