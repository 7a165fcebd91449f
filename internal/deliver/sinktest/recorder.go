package sinktest

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/appgovd/appgovd/internal/deliver"
)

// Recorder is a destination over HTTP that no real or independent one can be
// had of. It keeps requests and answers them as the protocol's owner says.
type Recorder struct {
	// Read returns the alerts of a request, and whether it is one that the
	// destination takes.
	Read func(r *http.Request, body []byte) ([]Item, error)
	// Accept and Refuse answer a request that is taken, or refused for good
	// with Reason, in the protocol's words.
	Accept, Refuse func(w http.ResponseWriter)

	judge *Judge
	most  int
	whole func(http.ResponseWriter)

	mu       sync.Mutex
	requests []Recorded
	problems []string
}

// Item is one alert of a request.
type Item struct{ ID, Title string }

// Recorded is one request that was taken.
type Recorded struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
}

// Reason is what a Recorder's Refuse must say.
const Reason = "the destination's reason"

// Requests are those that were taken so far.
func (r *Recorder) Requests() []Recorded {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Recorded{}, r.requests...)
}

// ServeHTTP answers one request.
func (r *Recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the sink has gone
	}
	if r.whole != nil {
		r.whole(w)
		return
	}
	items, err := r.Read(req, body)
	if err != nil {
		r.mu.Lock()
		r.problems = append(r.problems, fmt.Sprintf("%v in %.2000s", err, body))
		r.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
		return
	}
	if r.most > 0 && len(items) > r.most {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	switch r.judge.all(items) {
	case Never:
		r.Refuse(w)
	case NotNow:
		w.WriteHeader(http.StatusServiceUnavailable)
	default:
		r.mu.Lock()
		r.requests = append(r.requests, Recorded{req.Method, req.URL.Path, req.URL.RawQuery, req.Header.Clone(), body})
		r.mu.Unlock()
		r.Accept(w)
	}
}

// Start serves r on TLS until the test ends, and returns its URL and the file of
// its authority. What r cannot read fails the test.
func (r *Recorder) Start(t *testing.T) (url, ca string) {
	t.Helper()
	url, ca, _ = r.start(t, Accept)
	return url, ca
}

func (r *Recorder) start(t *testing.T, b Behaviour) (url, ca string, srv *httptest.Server) {
	t.Helper()
	quit := make(chan struct{})
	r.judge = NewJudge(b)
	switch b {
	case Silent:
		r.whole = func(http.ResponseWriter) { <-quit }
	case Cut:
		r.whole = func(http.ResponseWriter) { panic(http.ErrAbortHandler) }
	case Throttle:
		r.whole = func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }
	case Refuse:
		r.whole = func(w http.ResponseWriter) { w.WriteHeader(http.StatusUnauthorized) }
	case RefuseWhole:
		r.most = 1
	case RefuseLarge:
		r.most = 3
	}
	srv = httptest.NewTLSServer(r)
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(quit) })
	t.Cleanup(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range r.problems {
			t.Error(p)
		}
	})
	return srv.URL, Authority(t, srv), srv
}

// Recorders is the conformance of a sink that talks to a Recorder.
type Recorders struct {
	New     func(t *testing.T, url, ca string) deliver.Sink
	Peer    func() *Recorder // a fresh one
	Secrets []string
	Batches bool // one request takes many alerts, and is judged as a whole
	HTTP    HTTP // what differs from the common; New and Secrets are taken from here
}

// RunRecorders runs both suites.
func RunRecorders(t *testing.T, s Recorders) {
	can := []Behaviour{Down, Silent, Cut, Throttle, Refuse, RefuseTenth}
	if s.Batches {
		can = append(can, RefuseWhole, RefuseLarge)
	} else {
		can = append(can, RefuseSome, RetrySome)
	}
	Run(t, Suite{Can: can, Start: func(t *testing.T, b Behaviour) Peer {
		r := s.Peer()
		url, ca, srv := r.start(t, b)
		if b == Down {
			srv.Close()
		}
		return Peer{Sink: s.New(t, url, ca), Got: r.judge.Taken, Secrets: s.Secrets, Mend: r.judge.Mend, Reason: Reason}
	}})
	s.HTTP.New, s.HTTP.Secrets = s.New, s.Secrets
	RunHTTP(t, s.HTTP)
}
