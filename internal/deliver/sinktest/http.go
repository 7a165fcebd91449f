package sinktest

import (
	"compress/gzip"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/fault"
)

// HTTP says what a sink is like that sends requests over HTTP. RunHTTP answers
// them itself, so it needs to know nothing of the protocol.
type HTTP struct {
	// New makes a sink that talks to the server at url, whose certificate is
	// signed by the authority in the file ca.
	New func(t *testing.T, url, ca string) deliver.Sink
	// Secrets must not be in any error, not even where the server says them.
	Secrets []string
	// StatusOnly is set where the protocol says success by a status without
	// content, so that no answer can be told to be another's.
	StatusOnly bool
	// Classes are those of statuses that differ from what is common.
	Classes map[int]fault.Class
}

// RunHTTP runs what every sink over HTTP must withstand.
func RunHTTP(t *testing.T, h HTTP) {
	t.Run("every status has its class, and no error shows a secret", h.statuses)
	t.Run("Retry-After is heard", h.retryAfter)
	t.Run("a redirect is not followed, nowhere", h.redirects)
	t.Run("an endless answer is cut off", h.endless)
	t.Run("a small answer that unpacks to a huge one is cut off", h.bomb)
	t.Run("an answer that stops in its middle is no success", h.stalls)
	t.Run("an answer that is cut in its middle is no success", h.cut)
	t.Run("a request that is cancelled ends", h.cancels)
	if !h.StatusOnly {
		t.Run("an answer of something else is no success", h.foreign)
	}
}

// Authority is a file with the certificate that srv shows.
func Authority(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func (h HTTP) serve(t *testing.T, answer http.HandlerFunc) deliver.Sink {
	t.Helper()
	srv := httptest.NewTLSServer(answer)
	t.Cleanup(srv.Close)
	s := h.New(t, srv.URL, Authority(t, srv))
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// write sends one alert; an error is presentable and no success of any kind.
func (h HTTP) write(t *testing.T, s deliver.Sink) error {
	t.Helper()
	err := s.Write(t.Context(), Batch(1))
	if err != nil {
		presentable(t, err, h.Secrets)
	}
	return err
}

// refused: a whole that is refused for good and its single item are the same.
func classOf(err error) fault.Class {
	var r *deliver.Rejected
	if errors.As(err, &r) && len(r.Items) == 1 {
		return fault.Permanent
	}
	return fault.Of(err)
}

// class is what a status is about: an alert, which is refused for good; this moment; or
// every request there will be, for which a human has to do something.
func (h HTTP) class(status int) fault.Class {
	if c, ok := h.Classes[status]; ok {
		return c
	}
	switch status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return fault.Permanent
	case http.StatusTooManyRequests:
		return fault.Throttled
	case http.StatusRequestTimeout, http.StatusConflict, http.StatusLocked, http.StatusFailedDependency, http.StatusTooEarly:
		return fault.Transient
	}
	if status >= 500 {
		return fault.Transient
	}
	return fault.Auth
}

func (h HTTP) statuses(t *testing.T) {
	var status atomic.Int64
	s := h.serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		code := int(status.Load())
		w.WriteHeader(code)
		if code != http.StatusNoContent && code != http.StatusNotModified {
			_, _ = fmt.Fprintf(w, "no\x1b[31m: %s %s %s", r.URL, r.Header, strings.Join(h.Secrets, " ")) //nolint:gosec // a peer of tests
		}
	})
	for code := 300; code < 600; code++ {
		status.Store(int64(code))
		err := h.write(t, s)
		if err == nil {
			t.Errorf("status %d is taken for a success", code)
			continue
		}
		if want := h.class(code); classOf(err) != want {
			t.Errorf("status %d: class %v of %v, want %v", code, classOf(err), err, want)
		}
		if classOf(err) == fault.Auth && fault.Hint(err) == "" {
			t.Errorf("status %d: no advice for %v", code, err)
		}
	}
}

func (h HTTP) retryAfter(t *testing.T) {
	s := h.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1200")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if err := h.write(t, s); fault.Of(err) != fault.Throttled || fault.After(err) != 20*time.Minute {
		t.Errorf("class %v, after %v of %v", fault.Of(err), fault.After(err), err)
	}
}

func (h HTTP) redirects(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{other.URL + "/", "/elsewhere"} {
			s := h.serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					elsewhere.Add(1)
				}
				http.Redirect(w, r, target, code)
			})
			if err := h.write(t, s); err == nil || elsewhere.Load() > 0 {
				t.Fatalf("status %d to %s: error %v, %d requests were sent there", code, target, err, elsewhere.Load())
			}
		}
	}
}

// endlessBytes is more than any sink reads of an answer.
const endlessBytes = 256 << 20

func (h HTTP) endless(t *testing.T) {
	done := make(chan int64, 1)
	s := h.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n, room := int64(0), []byte(strings.Repeat(" ", 64<<10))
		for n < endlessBytes {
			if _, err := w.Write(room); err != nil {
				break
			}
			n += int64(len(room))
		}
		select {
		case done <- n:
		default:
		}
	})
	if err := h.write(t, s); err == nil || classOf(err) == fault.Permanent {
		t.Errorf("error %v", err)
	}
	if n := <-done; n >= endlessBytes {
		t.Errorf("all %d bytes were read", n)
	}
}

func (h HTTP) bomb(t *testing.T) {
	s := h.serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		room := []byte(strings.Repeat(" ", 1<<20))
		for range endlessBytes >> 20 {
			if _, err := z.Write(room); err != nil {
				return
			}
		}
		_ = z.Close()
	})
	if err := h.write(t, s); err == nil || classOf(err) == fault.Permanent {
		t.Errorf("error %v", err)
	}
}

// begin sends the header of an answer and the first bytes of it.
func begin(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "1000")
	_, _ = io.WriteString(w, `{"`)
	w.(http.Flusher).Flush()
}

func (h HTTP) stalls(t *testing.T) {
	quit := make(chan struct{})
	s := h.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		<-quit
	})
	t.Cleanup(func() { close(quit) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Write(ctx, Batch(1)); err == nil || classOf(err) != fault.Transient {
		t.Errorf("class %v of %v", classOf(err), err)
	}
}

func (h HTTP) cut(t *testing.T) {
	s := h.serve(t, func(w http.ResponseWriter, _ *http.Request) {
		begin(w)
		panic(http.ErrAbortHandler)
	})
	if err := h.write(t, s); err == nil || classOf(err) != fault.Transient {
		t.Errorf("class %v of %v", classOf(err), err)
	}
}

func (h HTTP) cancels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	quit := make(chan struct{})
	s := h.serve(t, func(http.ResponseWriter, *http.Request) {
		cancel()
		<-quit
	})
	t.Cleanup(func() { close(quit) })
	if err := s.Write(ctx, Batch(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func (h HTTP) foreign(t *testing.T) {
	var body atomic.Value
	s := h.serve(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, body.Load().(string))
	})
	for _, text := range []string{"", "<html>Please log in</html>", `{"`, "null", "[]", "{}", `"x"`, "0", strings.Repeat("[", 100_000), "\xff\x00"} {
		body.Store(text)
		if err := h.write(t, s); err == nil || classOf(err) == fault.Permanent {
			t.Errorf("the answer %.30q: error %v", text, err)
		}
	}
}
