package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Start serves the cloud over TLS at addr ("127.0.0.1:0" for a free port) with
// a certificate of its own authority, and keeps its clock moving. It returns
// the base URL and the authority's certificate as PEM. The caller calls stop,
// once or more; it waits until nothing runs any more.
func (c *Cloud) Start(addr string) (baseURL string, caPEM []byte, stop func(), err error) {
	cert, caPEM, err := selfSigned(addr)
	if err != nil {
		return "", nil, nil, fmt.Errorf("start simulated cloud: %w", err)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", nil, nil, fmt.Errorf("start simulated cloud: %w", err)
	}
	srv := &http.Server{
		Handler: c.Handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	done := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { _ = srv.ServeTLS(ln, "", "") })
	running.Go(func() { c.tick(done) })
	stop = sync.OnceFunc(func() {
		close(done)
		_ = srv.Close()
		running.Wait()
	})
	return "https://" + ln.Addr().String(), caPEM, stop, nil
}

func (c *Cloud) tick(done <-chan struct{}) {
	t := time.NewTicker(200 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			c.Advance()
		}
	}
}

// selfSigned makes an authority and a certificate for addr's host and the
// loopback names. Keys are random: they are no part of what the seed decides.
func selfSigned(addr string) (tls.Certificate, []byte, error) {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make key: %w", err)
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "appgov-sim authority"}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make key: %w", err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "appgov-sim"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	addHost(leaf, addr)
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	if err != nil {
		return tls.Certificate{}, nil, fmt.Errorf("make certificate: %w", err)
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, caPEM, nil
}

func addHost(leaf *x509.Certificate, addr string) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil || host == "" {
		return
	}
	if ip := net.ParseIP(host); ip != nil {
		leaf.IPAddresses = append(leaf.IPAddresses, ip)
		return
	}
	leaf.DNSNames = append(leaf.DNSNames, host)
}

// control adds what tests of a running process need: what was issued, the
// inventory, and a switch for the faults. Without a control token there is
// nothing.
func (c *Cloud) control(mux *http.ServeMux) {
	if c.o.ControlToken == "" {
		return
	}
	mux.HandleFunc("GET /sim/issued", c.guarded(func(w http.ResponseWriter, _ *http.Request) { writeAny(w, c.Issued()) }))
	mux.HandleFunc("GET /sim/inventory", c.guarded(func(w http.ResponseWriter, _ *http.Request) { writeAny(w, c.Inventory()) }))
	mux.HandleFunc("GET /sim/office", c.guarded(func(w http.ResponseWriter, r *http.Request) { writeAny(w, c.Office(r.URL.Query().Get("type"))) }))
	mux.HandleFunc("GET /sim/status", c.guarded(func(w http.ResponseWriter, _ *http.Request) { writeAny(w, c.Status()) }))
	mux.HandleFunc("GET /sim/faults", c.guarded(func(w http.ResponseWriter, _ *http.Request) { writeAny(w, c.Faults()) }))
	mux.HandleFunc("POST /sim/faults", c.guarded(func(w http.ResponseWriter, r *http.Request) {
		var f Faults
		if decodeBody(w, r, &f) {
			c.SetFaults(f)
			writeAny(w, c.Faults())
		}
	}))
	mux.HandleFunc("POST /sim/mutate", c.guarded(func(w http.ResponseWriter, r *http.Request) {
		var m Mutation
		if !decodeBody(w, r, &m) {
			return
		}
		if err := c.Mutate(m); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		writeAny(w, c.Status())
	}))
}

// decodeBody reads a JSON body without unknown fields, or answers 400.
func decodeBody(w http.ResponseWriter, r *http.Request, v any) bool {
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

// Status is where the simulation stands.
type Status struct {
	Now      time.Time `json:"now"`
	Complete time.Time `json:"complete"` // see Cloud.Complete
	Issued   int       `json:"issued"`
	Records  int       `json:"records"` // issued and still to come
	Requests uint64    `json:"requests"`
}

// Status tells how far the simulation is.
func (c *Cloud) Status() Status {
	st := Status{Now: c.o.Now(), Complete: c.Complete(), Records: len(c.recs), Requests: c.Requests()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.advance(st.Now)
	st.Issued = c.logged
	return st
}

func (c *Cloud) guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if subtle.ConstantTimeCompare([]byte(bearer(r)), []byte(c.o.ControlToken)) != 1 {
			http.Error(w, "control token is missing or wrong", http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

func writeAny(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// requestLine is one line of the request log.
type requestLine struct {
	Time   time.Time `json:"time"`
	Method string    `json:"method"`
	URL    string    `json:"url"`
	Status int       `json:"status"`
	Bytes  int       `json:"bytes"`
	Token  bool      `json:"token"` // whether it carried a token
}

// recorded writes the request log around a handler.
func (c *Cloud) recorded(h http.Handler) http.Handler {
	if c.o.RequestLog == nil {
		return h
	}
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m := &meter{ResponseWriter: w}
		defer func() {
			mu.Lock()
			defer mu.Unlock()
			writeLine(c.o.RequestLog, requestLine{
				Time: c.o.Now(), Method: r.Method, URL: r.URL.String(), Status: m.status, Bytes: m.bytes, Token: bearer(r) != "",
			})
		}()
		h.ServeHTTP(m, r)
	})
}

// meter counts what a handler writes.
type meter struct {
	http.ResponseWriter
	status, bytes int
}

// WriteHeader notes the status.
func (m *meter) WriteHeader(status int) {
	m.status = status
	m.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the writer beneath.
func (m *meter) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// Write counts the bytes.
func (m *meter) Write(b []byte) (int, error) {
	if m.status == 0 {
		m.status = http.StatusOK
	}
	n, err := m.ResponseWriter.Write(b)
	m.bytes += n
	return n, err
}

// SourceBlock is the configuration with which appgovd reads this cloud. The
// secret is named by the environment variable APPGOV_SIM_SECRET.
func (c *Cloud) SourceBlock(baseURL, caFile string) string {
	return strings.Join([]string{
		`source "entra" "sim" {`,
		`  tenant_id     = ` + strconv.Quote(c.o.TenantID),
		`  client_id     = ` + strconv.Quote(c.o.ClientID),
		`  client_secret = env("APPGOV_SIM_SECRET")`,
		`  graph_url     = ` + strconv.Quote(baseURL),
		`  office_url    = ` + strconv.Quote(baseURL),
		`  login_url     = ` + strconv.Quote(baseURL),
		`  ca_file       = ` + strconv.Quote(caFile),
		`}`, ``,
	}, "\n")
}
