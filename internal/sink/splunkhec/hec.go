// Package splunkhec owns the sink that writes alerts to the HTTP Event Collector
// of Splunk: many events in one request, each with its time, host, source,
// sourcetype, index and indexed fields; with indexer acknowledgement where it is
// asked for.
package splunkhec

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/sink/post"
)

// Sink writes to one token. It has one request in flight.
type Sink struct {
	*post.Client
	base   string
	token  func() (string, error)
	encode format.Encoder
	meta   []byte // ,"host":…,"source":…,"index":…
	kind   string // the sourcetype of all; "" = by what is sent
	fields []byte // ,"name":"value" of the configuration
	gzip   bool

	ack        bool
	ackTimeout time.Duration
	channel    string // of the acknowledgements; "" = none is open
	pause      func(context.Context, time.Duration) error
}

// New checks the configuration and opens the secret; it connects to nothing.
func New(c Config, open post.Opener) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	client, err := post.New(post.Options{Name: "splunk", Timeout: c.Timeout, Proxy: c.Proxy, TLS: c.TLS, Secret: open})
	if err != nil {
		return nil, err
	}
	s := &Sink{
		Client: client, base: c.base(), gzip: c.Gzip == nil || *c.Gzip,
		ack: c.Acknowledge, ackTimeout: deliver.DurationOr(c.AckTimeout, defaultAckTimeout), pause: pause,
	}
	if s.token, err = client.Open(c.Token); err != nil {
		return nil, err
	}
	name := c.Format
	if name == "" {
		name = "cim"
	}
	if s.encode, err = format.Named(name, format.NewLinks(c.Links)); err != nil {
		return nil, err
	}
	return s, s.envelope(c)
}

// envelope encodes what all events have in common.
func (s *Sink) envelope(c Config) error {
	if c.Host == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("build splunk sink: find the host's name: %w", err)
		}
		c.Host = host
	}
	s.kind = c.SourceType
	for _, m := range []struct{ name, value, other string }{{"host", c.Host, ""}, {"source", c.Source, defaultSource}, {"index", c.Index, ""}} {
		if m.value == "" {
			m.value = m.other
		}
		if m.value != "" {
			s.meta = appendString(append(append(append(s.meta, `,"`...), m.name...), `":`...), m.value)
		}
	}
	for name, value := range c.Fields {
		s.fields = appendString(append(append(append(s.fields, `,"`...), name...), `":`...), value)
	}
	return nil
}

// appendString appends s as a JSON string.
func appendString(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // a string always has an encoding
		b = []byte(`""`)
	}
	return append(dst, b...)
}

// maxField bounds an indexed field: the time series index takes no long ones.
const maxField = 256

// event appends one event in its envelope.
// https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data/format-events-for-http-event-collector
func (s *Sink) event(dst []byte, a *event.Alert) []byte {
	dst = append(dst, '{')
	if !a.Time.IsZero() {
		dst = append(dst, `"time":`...)
		dst = append(strconv.AppendFloat(dst, float64(a.Time.UnixMilli())/1000, 'f', 3, 64), ',')
	}
	dst = append(s.encode(append(dst, `"event":`...), a), s.meta...)
	dst = appendString(append(dst, `,"sourcetype":`...), s.sourceType(a))
	dst = append(append(dst, `,"fields":{"delivery_id":"`...), a.DeliveryID.String()...)
	if e := a.Event; e != nil {
		dst = append(append(dst, `","event_id":"`...), a.ID.String()...)
		dst = appendString(append(dst, `","class":`...), post.Text(e.Class, maxField))
		dst = appendString(append(dst, `,"action":`...), post.Text(e.Action, maxField))
	} else {
		dst = append(append(dst, `","alert_id":"`...), a.ID.String()...)
		dst = append(append(dst, `","severity":"`...), a.Severity.String()...)
		dst = appendString(append(dst, `","rule_id":`...), post.Text(a.RuleID, maxField))
		dst = appendString(append(dst, `,"state":`...), string(a.State))
	}
	dst = appendString(append(dst, `,"detection_source":`...), event.DetectionSource)
	return append(append(dst, s.fields...), "}}"...)
}

// sourceType is the configured one, or that of what a is: Splunk's props and eventtypes go
// by it.
func (s *Sink) sourceType(a *event.Alert) string {
	switch {
	case s.kind != "":
		return s.kind
	case a.Event == nil:
		return "appgov:alert"
	}
	switch e := a.Event; e.Class {
	case event.ClassSignIn, event.ClassActivity, event.ClassCall:
		return "appgov:activity"
	case event.ClassInventory:
		if strings.HasPrefix(e.Action, "inventory.grant.") {
			return "appgov:grant"
		}
		return "appgov:app"
	}
	return "appgov:audit"
}

// Write sends the batch. An event that Splunk names as invalid is refused, and
// the others are delivered.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := s.Ready(ctx); err != nil || len(batch) == 0 {
		return err
	}
	token, err := s.token()
	if err != nil {
		return err
	}
	left := make([]int, len(batch)) // indexes of what is still to be sent
	events := make([][]byte, len(batch))
	for i := range batch {
		left[i], events[i] = i, s.event(nil, &batch[i])
	}
	var v deliver.Rejected
	v.After = s.settle(ctx, token, left, events, &v)
	return post.Verdict(&v, len(batch))
}

// settle sends the events with these indexes and notes in v what became of those
// that were not taken; the error is why some are to be sent again. It is not
// documented whether Splunk keeps what stood before an invalid event; it reads
// no further. So that is sent once more by itself, and then what stood behind:
// nothing is lost, and no event is sent more than twice.
func (s *Sink) settle(ctx context.Context, token string, left []int, events [][]byte, v *deliver.Rejected) error {
	for len(left) > 0 {
		bad, err := s.send(ctx, token, left, events)
		if err == nil {
			return nil
		}
		if bad < 0 {
			v.Retry = append(v.Retry, left...)
			return err
		}
		v.Items = append(v.Items, deliver.Rejection{Index: left[bad], Reason: err.Error()})
		if err := s.settle(ctx, token, left[:bad], events, v); err != nil {
			v.Retry = append(v.Retry, left[bad+1:]...)
			return err
		}
		left = left[bad+1:]
	}
	return nil
}

// send sends the events with these indexes. bad is the place of the one that
// Splunk names as invalid, -1 for every other error.
func (s *Sink) send(ctx context.Context, token string, left []int, events [][]byte) (bad int, err error) {
	if s.ack {
		if err := s.openChannel(ctx, token); err != nil {
			return -1, err
		}
	}
	var body []byte
	for _, i := range left {
		body = append(body, events[i]...)
	}
	a, err := s.post(ctx, token, eventPath, body)
	if err != nil {
		return -1, err
	}
	r, err := s.judge(a)
	if err != nil {
		if r.names() && *r.Invalid < len(left) {
			return *r.Invalid, err
		}
		return -1, err
	}
	if s.ack {
		return -1, s.awaitIndexed(ctx, token, r.AckID)
	}
	return -1, nil
}

const eventPath = "/services/collector/event"

func (s *Sink) post(ctx context.Context, token, path string, body []byte) (post.Answer, error) {
	h := http.Header{"Authorization": {"Splunk " + token}}
	if s.channel != "" {
		h.Set("X-Splunk-Request-Channel", s.channel)
	}
	if s.gzip && path == eventPath { // it is not said that questions may be compressed
		h.Set("Content-Encoding", "gzip")
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			return post.Answer{}, fmt.Errorf("compress request: %w", err)
		}
		if err := z.Close(); err != nil {
			return post.Answer{}, fmt.Errorf("compress request: %w", err)
		}
		body = b.Bytes()
	}
	return s.Send(ctx, post.Request{URL: s.base + path, Header: h, Body: body, Secrets: []string{token}})
}

// reply is what Splunk answers.
type reply struct {
	Text    string `json:"text"`
	Code    *int   `json:"code"`
	Invalid *int   `json:"invalid-event-number"`
	AckID   *int64 `json:"ackId"`
}

// names tells a reply that is about one event.
func (r reply) names() bool {
	if r.Code == nil || r.Invalid == nil || *r.Invalid < 0 {
		return false
	}
	switch *r.Code {
	case 6, 12, 13, 15:
		return true
	}
	return false
}

// judge classifies an answer by Splunk's own code where there is one, and else
// by its status. Permanent is what is about an event; what is about the token,
// the index or the channel is the same for all and waits for a human.
// https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data/troubleshoot-http-event-collector
func (s *Sink) judge(a post.Answer) (reply, error) {
	var r reply
	if json.Unmarshal(a.Body, &r) != nil || r.Code == nil {
		if a.OK() {
			return reply{}, s.Foreign(a)
		}
		return reply{}, s.Judge(a)
	}
	err := s.Error(a)
	pause := func(hint string) (reply, error) { return r, fault.WithHint(fault.NewAuth(err), hint) }
	switch *r.Code {
	case 0:
		if a.OK() {
			return r, nil
		}
		return r, s.Judge(a)
	case 1:
		return pause("the token is disabled: enable it in Splunk under Data inputs, HTTP Event Collector")
	case 2, 3, 4, 16:
		return pause("Splunk does not know the token: check it, and that it belongs to this Splunk")
	case 7:
		return pause("the token may not write to that index, or it does not exist: allow it in the token's settings, or correct index")
	case 10, 11:
		if s.ack { // the channel is lost; the next one is new
			s.channel = ""
			return r, err
		}
		return pause("the token wants a channel: write acknowledge = true, or switch indexer acknowledgement off in its settings")
	case 14:
		return pause("the token has no indexer acknowledgement: enable it in its settings, or leave out acknowledge (Splunk Cloud has none)")
	case 5, 6, 12, 13, 15:
		return r, fault.NewPermanent(err)
	}
	if a.OK() {
		return r, s.Foreign(a)
	}
	return r, s.Judge(a)
}

// Probe tries the way to the destination and gives it nothing; found is what is there.
func (s *Sink) Probe(ctx context.Context) (found string, err error) { return s.Reach(ctx, s.base) }
