package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/sim"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"help is a success", []string{"--help"}, 0, "--scenario"},
		{"the scenarios are listed", []string{"--list-scenarios"}, 0, "consent_campaign"},
		{"an unknown flag is wrong usage", []string{"--sead", "1"}, 2, "unknown flag: --sead"},
		{"an argument is wrong usage", []string{"now"}, 2, `unexpected argument "now"`},
		{"a share of two is wrong usage", []string{"--late", "2"}, 2, "want 0 to 1"},
		{"an unknown scenario is wrong usage", []string{"--scenario", "ransom"}, 2, `unknown scenario "ransom"`},
		{"an unknown category is wrong usage", []string{"--kafka", "127.0.0.1:1", "--categories", "AuditLogs,Sign"}, 2, `unknown category "Sign"`},
		{"an address that cannot be served is a failure", []string{"--listen", "256.0.0.1:1"}, 1, "start simulated cloud"},
		{"a log that cannot be written is a failure", []string{"--issued", "/nonexistent/issued"}, 1, "open log"},
		{"a file for the authority that cannot be written is a failure", []string{"--listen", "127.0.0.1:0", "--ca-out", "/nonexistent/ca"}, 1, "write certificate authority"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // what serves stops at once
			var out bytes.Buffer
			if code := run(ctx, tc.args, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("code %d, want %d with %q in:\n%s", code, tc.code, tc.want, out.String())
			}
		})
	}
}

func TestPrintedConfigurationNamesTheTenantThatIsServed(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--seed", "9", "--print-config", "--listen", "127.0.0.1:9443", "--ca-out", "ca.pem"}, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	c, err := sim.New(sim.Options{Seed: 9})
	if err != nil {
		t.Fatal(err)
	}
	if want := c.SourceBlock("https://127.0.0.1:9443", "ca.pem"); out.String() != want || !strings.Contains(want, c.TenantID()) {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// lines hands on what a command writes, one line at a time.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
	got chan string
}

// Write collects text and sends each line.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(b)
	for {
		line, err := l.buf.ReadString('\n')
		if err != nil {
			l.buf.WriteString(line)
			return len(b), nil
		}
		l.got <- line
	}
}

func TestItServesUntilItIsStopped(t *testing.T) {
	dir := t.TempDir()
	ca, issued := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "issued.jsonl")
	t.Setenv("APPGOV_SIM_CONTROL", "sesame")
	ctx, cancel := context.WithCancel(t.Context())
	out, code := &lines{got: make(chan string, 16)}, make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"--listen", "127.0.0.1:0", "--ca-out", ca, "--issued", issued, "--events", "50"}, io.Discard, out)
	}()
	var base string
	select {
	case line := <-out.got:
		base = strings.Fields(line)[2]
	case <-time.After(time.Minute):
		t.Fatal("it does not serve")
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	var st sim.Status
	ask(t, pem, base+"/sim/status", &st)
	if st.Records != 50 || st.Issued != 50 {
		t.Errorf("got %+v", st)
	}
	cancel()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d", c)
	}
	log, err := os.ReadFile(issued)
	if err != nil || bytes.Count(log, []byte("\n")) != 50 {
		t.Errorf("%v, %d lines in the issue log, want 50", err, bytes.Count(log, []byte("\n")))
	}
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(base, "https://"), time.Second); err == nil {
		t.Error("it still listens")
	}
}

func ask(t *testing.T, pem []byte, target string, v any) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sesame")
	res, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		t.Fatal(err)
	}
}
