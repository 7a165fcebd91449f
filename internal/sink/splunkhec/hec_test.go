package splunkhec

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/post"
)

const token = "0f7c9e4e-aaaa-bbbb-cccc-0123456789ab"

func literal(s string) func(secret.Ref) (func() (string, error), error) {
	return func(secret.Ref) (func() (string, error), error) { return func() (string, error) { return s, nil }, nil }
}

// fake is an HTTP Event Collector; no independent one can be had.
//
// Documented by Splunk: the paths, the scheme Splunk of the header, events as JSON objects one behind the other, gzip,
// the codes and their statuses, invalid-event-number, the channel's header, ackId, the question and the answer about
// acknowledgements. Assumed: a request with an invalid event is refused as a whole (keeps: or from that event on); the codes above 17; a question for
// acknowledgements with a token that has none is answered with code 14; ids of a channel count from 0; a true is said
// once; cookies of a load balancer stand for the indexer behind it.
type fake struct {
	judge *sinktest.Judge
	whole func(w http.ResponseWriter) bool // answers in place of the collector
	most  int                              // events in one request, 0 = any number
	keeps bool                             // what stands before an invalid event is kept

	mu       sync.Mutex
	events   []envelope
	acks     bool
	after    int // a true is said at this question about an id, from 1
	forgets  int // this many acknowledged requests are never said to be indexed
	asked    map[string]int
	channels []string
	stray    int // requests with a channel but without the balancer's cookie, but for the first
	problems []string
}

type envelope struct {
	Time       float64           `json:"time"`
	Host       string            `json:"host"`
	Source     string            `json:"source"`
	SourceType string            `json:"sourcetype"`
	Index      string            `json:"index"`
	Event      json.RawMessage   `json:"event"`
	Fields     map[string]string `json:"fields"`
}

func say(w http.ResponseWriter, status, code int, text, more string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"text":%q,"code":%d%s}`, text, code, more)
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.whole != nil && f.whole(w) {
		return
	}
	if r.Header.Get("Authorization") != "Splunk "+token || r.Method != http.MethodPost {
		say(w, http.StatusUnauthorized, 3, "Invalid authorization", "")
		return
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			f.problems = append(f.problems, err.Error())
			return
		}
		body = z
	}
	channel := r.Header.Get("X-Splunk-Request-Channel")
	if channel != "" {
		f.stick(w, r, channel)
	}
	switch {
	case r.URL.Path == "/services/collector/ack":
		f.acknowledge(w, r, body, channel)
	case r.URL.Path == "/services/collector/event" && f.acks && channel == "":
		say(w, http.StatusBadRequest, 10, "Data channel is missing", "")
	case r.URL.Path == "/services/collector/event":
		f.take(w, body, channel)
	default:
		http.NotFound(w, r)
	}
}

func (f *fake) stick(w http.ResponseWriter, r *http.Request, channel string) {
	if !slices.Contains(f.channels, channel) {
		f.channels = append(f.channels, channel)
		http.SetCookie(w, &http.Cookie{Name: "AWSALB", Value: channel, Path: "/"})
		return
	}
	if c, err := r.Cookie("AWSALB"); err != nil || c.Value != channel {
		f.stray++
	}
}

func (f *fake) take(w http.ResponseWriter, body io.Reader, channel string) {
	var events []envelope
	for d := json.NewDecoder(body); ; {
		var e envelope
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			say(w, http.StatusBadRequest, 6, "Invalid data format", "")
			return
		}
		events = append(events, e)
	}
	if f.most > 0 && len(events) > f.most {
		say(w, http.StatusRequestEntityTooLarge, 27, "Request entity too large", "")
		return
	}
	busy, bad := false, -1
	for i, e := range events {
		var event struct{ Signature string }
		if err := json.Unmarshal(e.Event, &event); err != nil {
			f.problems = append(f.problems, err.Error())
		}
		switch f.judge.Verdict(e.Fields["delivery_id"], event.Signature) {
		case sinktest.Never:
			if bad < 0 {
				bad = i
			}
		case sinktest.NotNow:
			busy = true
		}
	}
	switch {
	case busy:
		say(w, http.StatusServiceUnavailable, 9, "Server is busy", "")
		return
	case bad >= 0:
		if f.keeps {
			f.events = append(f.events, events[:bad]...)
		}
		say(w, http.StatusBadRequest, 15, "Error in handling indexed fields", fmt.Sprintf(`,"invalid-event-number":%d`, bad))
		return
	}
	f.events = append(f.events, events...)
	id := ""
	if f.acks {
		id = fmt.Sprintf(`,"ackId":%d`, f.asked[channel])
		f.asked[channel]++
	}
	say(w, http.StatusOK, 0, "Success", id)
}

func (f *fake) acknowledge(w http.ResponseWriter, r *http.Request, body io.Reader, channel string) {
	if !f.acks {
		say(w, http.StatusBadRequest, 14, "ACK is disabled", "")
		return
	}
	if r.Header.Get("Content-Encoding") != "" {
		f.problems = append(f.problems, "a compressed question")
	}
	var question struct{ Acks []int }
	if err := json.NewDecoder(body).Decode(&question); err != nil || len(question.Acks) != 1 || r.URL.Query().Get("channel") != channel {
		f.problems = append(f.problems, fmt.Sprintf("question %v %v at %s", question, err, r.URL))
	}
	key := fmt.Sprint("asked ", channel, question.Acks)
	done := false
	if question.Acks[0] < f.asked[channel] {
		f.asked[key]++
		done = f.forgets == 0 && f.asked[key] == f.after
	}
	_, _ = fmt.Fprintf(w, `{"acks":{"%d":%t}}`, question.Acks[0], done)
}

func (f *fake) ids(int) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := []string{}
	for _, e := range f.events {
		ids = append(ids, e.Fields["delivery_id"])
	}
	return ids
}

func serve(t *testing.T, f *fake, edit func(*Config)) (*Sink, *httptest.Server) {
	t.Helper()
	if f.judge == nil {
		f.judge = sinktest.NewJudge(sinktest.Accept)
	}
	f.asked = map[string]int{}
	srv := httptest.NewTLSServer(f)
	t.Cleanup(srv.Close)
	t.Cleanup(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, p := range f.problems {
			t.Error(p)
		}
	})
	return sinkAt(t, srv.URL, sinktest.Authority(t, srv), edit), srv
}

func sinkAt(t *testing.T, url, ca string, edit func(*Config)) *Sink {
	t.Helper()
	c := Config{URL: url, Token: secret.Env("T"), Proxy: "none", TLS: &post.TLS{CAFile: ca}}
	if edit != nil {
		edit(&c)
	}
	s, err := New(c, literal(token))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.pause = func(ctx context.Context, _ time.Duration) error { return ctx.Err() }
	return s
}

func answer(status, code int, text string) func(http.ResponseWriter) bool {
	return func(w http.ResponseWriter) bool {
		if status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "7")
		}
		say(w, status, code, text, "")
		return true
	}
}

func TestConformance(t *testing.T) {
	for _, ack := range []bool{false, true} {
		t.Run(map[bool]string{false: "answers", true: "acknowledgements"}[ack], func(t *testing.T) { conformance(t, ack) })
	}
}

func conformance(t *testing.T, ack bool) {
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{
			sinktest.Down, sinktest.Silent, sinktest.Cut, sinktest.Throttle, sinktest.Refuse, sinktest.RefuseWhole, sinktest.RefuseSome,
			sinktest.RefuseLarge, sinktest.RefuseTenth,
		},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			quit := make(chan struct{})
			f := &fake{judge: sinktest.NewJudge(b), acks: ack, after: 2}
			switch b {
			case sinktest.Silent:
				f.whole = func(http.ResponseWriter) bool { <-quit; return true }
			case sinktest.Cut:
				f.whole = func(http.ResponseWriter) bool { panic(http.ErrAbortHandler) }
			case sinktest.Throttle:
				f.whole = answer(429, 26, "Queue at capacity")
			case sinktest.Refuse:
				f.whole = answer(403, 4, "Invalid token")
			case sinktest.RefuseWhole:
				f.most = 1
			case sinktest.RefuseLarge:
				f.most = 3
			}
			s, srv := serve(t, f, func(c *Config) { c.Acknowledge = ack })
			t.Cleanup(func() { close(quit) })
			if b == sinktest.Down {
				srv.Close()
			}
			return sinktest.Peer{Sink: s, Got: f.ids, Secrets: []string{token}, Mend: f.judge.Mend, Reason: "Error in handling indexed fields"}
		},
	})
}

func TestConformanceOverHTTP(t *testing.T) {
	for _, ack := range []bool{false, true} {
		sinktest.RunHTTP(t, sinktest.HTTP{
			New: func(t *testing.T, url, ca string) deliver.Sink {
				return sinkAt(t, url, ca, func(c *Config) { c.Acknowledge = ack })
			},
			Secrets: []string{token},
			Classes: map[bool]map[int]fault.Class{true: {400: fault.Transient, 413: fault.Transient, 422: fault.Transient}}[ack], // of a question, not of events
		})
	}
}

func TestCodesAreClassified(t *testing.T) {
	for _, tt := range []struct {
		code, status int
		want         fault.Class
		hint         string
	}{
		{1, 403, fault.Auth, "disabled"},
		{2, 401, fault.Auth, "token"},
		{3, 401, fault.Auth, "token"},
		{4, 403, fault.Auth, "token"},
		{5, 400, fault.Permanent, ""},
		{6, 400, fault.Permanent, ""},
		{7, 400, fault.Auth, "index"},
		{8, 500, fault.Transient, ""},
		{9, 503, fault.Transient, ""},
		{10, 400, fault.Auth, "acknowledge"},
		{11, 400, fault.Auth, "acknowledge"},
		{12, 400, fault.Permanent, ""},
		{13, 400, fault.Permanent, ""},
		{14, 400, fault.Auth, "acknowledg"},
		{15, 400, fault.Permanent, ""},
		{16, 400, fault.Auth, "token"},
		{18, 503, fault.Transient, ""},
		{23, 503, fault.Transient, ""},
		{26, 429, fault.Throttled, ""},
		{27, 413, fault.Permanent, ""},
		{17, 200, fault.Transient, "proxy"}, // healthy is no answer to events
		{0, 500, fault.Transient, ""},
	} {
		t.Run(strconv.Itoa(tt.code), func(t *testing.T) {
			s, _ := serve(t, &fake{whole: answer(tt.status, tt.code, "said")}, nil)
			err := s.Write(t.Context(), sinktest.Batch(2))
			if err == nil || fault.Of(err) != tt.want || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
}

// Whether Splunk keeps what stands before an invalid event or not: nothing is lost, and nothing is there more than twice.
func TestInvalidEventsCostTheOthersNothing(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		f := &fake{keeps: keeps, judge: sinktest.NewJudge(sinktest.RefuseSome)}
		s, _ := serve(t, f, nil)
		batch := sinktest.Batch(50)
		want, refused := map[string]bool{}, []int{}
		for i := range batch {
			if i%10 == 0 || i == 49 {
				batch[i].Title = sinktest.Poison
				refused = append(refused, i)
			} else {
				want[batch[i].DeliveryID.String()] = true
			}
		}
		var r *deliver.Rejected
		if err := s.Write(t.Context(), batch); !errors.As(err, &r) || len(r.Retry) != 0 {
			t.Fatalf("error %v", err)
		}
		var items []int
		for _, x := range r.Items {
			items = append(items, x.Index)
		}
		count, got, most := map[string]int{}, map[string]bool{}, 0
		for _, id := range f.ids(0) {
			count[id]++
			got[id] = true
			most = max(most, count[id])
		}
		if diff := cmp.Diff(want, got) + cmp.Diff(refused, items); diff != "" || most > 2 || !keeps && most > 1 {
			t.Errorf("keeps %v: an event is there %d times; (-want +got):\n%s", keeps, most, diff)
		}
	}
}

// What cannot be sent behind an invalid event comes again; what was taken does not.
func TestAFailureBehindAnInvalidEvent(t *testing.T) {
	f := &fake{judge: sinktest.NewJudge(sinktest.RefuseSome)}
	s, _ := serve(t, f, nil)
	batch := sinktest.Batch(6)
	batch[2].Title = sinktest.Poison
	n := 0
	f.whole = func(w http.ResponseWriter) bool {
		if n++; n == 3 { // the third request is what stands behind
			say(w, http.StatusServiceUnavailable, 9, "Server is busy", "")
			return true
		}
		return false
	}
	var r *deliver.Rejected
	if err := s.Write(t.Context(), batch); !errors.As(err, &r) || len(r.Items) != 1 || r.Items[0].Index != 2 || !slices.Equal(r.Retry, []int{3, 4, 5}) || fault.Of(r.After) != fault.Transient {
		t.Errorf("error %#v", err)
	}
	if diff := cmp.Diff(sinktest.IDs(batch[:2]), f.ids(0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestEventsSayWhenWhereAndWhat(t *testing.T) {
	f := &fake{}
	s, srv := serve(t, f, func(c *Config) {
		c.Host, c.Index, c.Fields = "soc-1", "security", map[string]string{"env": `pr"od`}
		c.URL += "/services/collector/event"
	})
	a := sinktest.Full()
	if err := s.Write(t.Context(), []event.Alert{a}); err != nil {
		t.Fatal(err)
	}
	e := f.events[0]
	var cim struct {
		Signature string
		AppGov    struct {
			DeliveryID string `json:"delivery_id"`
		}
	}
	if err := json.Unmarshal(e.Event, &cim); err != nil || cim.Signature != a.Title || cim.AppGov.DeliveryID != a.DeliveryID.String() {
		t.Errorf("event %s, %v", e.Event, err)
	}
	want := envelope{
		Time: float64(a.Time.UnixMilli()) / 1000, Host: "soc-1", Source: "appgovd", SourceType: "appgov:alert", Index: "security", Event: e.Event,
		Fields: map[string]string{
			"alert_id": a.ID.String(), "delivery_id": a.DeliveryID.String(), "rule_id": a.RuleID, "severity": "critical", "state": "resolved",
			"detection_source": "App Governance", "env": `pr"od`,
		},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Errorf("at %s (-want +got):\n%s", srv.URL, diff)
	}
}

func TestTheSourceTypeIsThatOfWhatIsSent(t *testing.T) {
	kinds := func(edit func(*Config), batch ...event.Alert) (got []string) {
		f := &fake{}
		s, _ := serve(t, f, edit)
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		for _, e := range f.events {
			got = append(got, e.SourceType)
		}
		return got
	}
	batch := []event.Alert{sinktest.Full()}
	of := func(class, action string) {
		batch = append(batch, event.Forwarded(&event.Event{ID: event.NewID(class, action), Class: class, Action: action}))
	}
	for _, class := range event.Classes() {
		of(class, event.ActionOther)
	}
	of(event.ClassInventory, event.ActionInvGrantUnexplained)
	want := []string{"appgov:alert", "appgov:audit", "appgov:activity", "appgov:app", "appgov:audit", "appgov:audit", "appgov:activity", "appgov:activity", "appgov:grant"}
	if diff := cmp.Diff(want, kinds(func(*Config) {}, batch...)); diff != "" {
		t.Error(diff)
	}
	for _, kind := range kinds(func(c *Config) { c.SourceType = "soc:all" }, batch...) {
		if kind != "soc:all" {
			t.Errorf("sourcetype %q, though the sink says another one", kind)
		}
	}
}

func TestAcknowledgement(t *testing.T) {
	acknowledged := func(c *Config) { c.Acknowledge = true }
	t.Run("an alert is delivered when it is indexed, not when it is taken", func(t *testing.T) {
		f := &fake{acks: true, after: 5}
		s, _ := serve(t, f, acknowledged)
		waited := 0
		s.pause = func(context.Context, time.Duration) error { waited++; return nil }
		for range 3 {
			if err := s.Write(t.Context(), sinktest.Batch(2)); err != nil {
				t.Fatal(err)
			}
		}
		if waited != 15 || len(f.channels) != 1 || f.stray != 0 {
			t.Errorf("%d pauses, channels %v, %d requests lost the balancer's cookie", waited, f.channels, f.stray)
		}
	})
	t.Run("what is never acknowledged comes again in another channel", func(t *testing.T) {
		f := &fake{acks: true, after: 1, forgets: 1}
		s, _ := serve(t, f, acknowledged)
		waited := time.Duration(0)
		s.pause = func(_ context.Context, d time.Duration) error { waited += d; return nil }
		err := s.Write(t.Context(), sinktest.Batch(2))
		if fault.Of(err) != fault.Transient || !strings.Contains(fault.Hint(err), "sticky") || waited < defaultAckTimeout || waited > defaultAckTimeout+maxPoll {
			t.Fatalf("%v after %v, hint %q", err, waited, fault.Hint(err))
		}
		f.forgets = 0
		if err := s.Write(t.Context(), sinktest.Batch(2)); err != nil {
			t.Fatal(err)
		}
		if len(f.channels) != 2 || f.stray != 0 {
			t.Errorf("channels %v, %d requests lost the balancer's cookie", f.channels, f.stray)
		}
	})
	t.Run("a token without acknowledgement gets no event", func(t *testing.T) {
		f := &fake{}
		s, _ := serve(t, f, acknowledged)
		if err := s.Write(t.Context(), sinktest.Batch(2)); fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "Splunk Cloud") || len(f.events) != 0 {
			t.Errorf("%v, %d events", err, len(f.events))
		}
	})
	t.Run("a question that fails is asked again, three in a row are the end", func(t *testing.T) {
		f := &fake{acks: true, after: 1}
		s, _ := serve(t, f, acknowledged)
		failing := 0
		s.pause = func(context.Context, time.Duration) error {
			f.mu.Lock()
			defer f.mu.Unlock()
			if f.whole = nil; failing > 0 {
				failing--
				f.whole = answer(503, 9, "Server is busy")
			}
			return nil
		}
		failing = 2
		if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
			t.Errorf("two failures: %v", err)
		}
		failing = 3
		if err := s.Write(t.Context(), sinktest.Batch(1)); fault.Of(err) != fault.Transient || err == nil {
			t.Errorf("three failures: %v", err)
		}
	})
	t.Run("a wait ends with its context", func(t *testing.T) {
		f := &fake{acks: true, forgets: 1}
		s, _ := serve(t, f, acknowledged)
		ctx, cancel := context.WithCancel(t.Context())
		s.pause = func(ctx context.Context, d time.Duration) error { cancel(); return pause(ctx, d) }
		if err := s.Write(ctx, sinktest.Batch(1)); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
	})
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{URL: "https://splunk:8088", Token: secret.Env("T")}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no URL", func(c *Config) { c.URL = "splunk:8088" }, "url"},
		{"no TLS", func(c *Config) { c.URL = "http://splunk:8088" }, "url: sends alerts without TLS"},
		{"a user in the URL", func(c *Config) { c.URL = "https://u:p@splunk:8088" }, "url"},
		{"no token", func(c *Config) { c.Token = "" }, "token"},
		{"a format that is no JSON", func(c *Config) { c.Format = "cef" }, "format"},
		{"an index in capitals", func(c *Config) { c.Index = "Main" }, "index"},
		{"a field of ours", func(c *Config) { c.Fields = map[string]string{"alert_id": "x"} }, "fields"},
		{"a field with a quote", func(c *Config) { c.Fields = map[string]string{`a"b`: "x"} }, "fields"},
		{"a limit without its cause", func(c *Config) { c.AckTimeout = "1m" }, "ack_timeout"},
		{"half a certificate", func(c *Config) { c.TLS = &post.TLS{CertFile: "x"} }, "tls.cert_file"},
		{"no duration", func(c *Config) { c.Timeout = "soon" }, "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if _, err := New(c, literal("x")); err == nil {
				t.Error("built all the same")
			}
		})
	}
}
