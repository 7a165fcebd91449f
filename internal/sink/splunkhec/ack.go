package splunkhec

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/cookiejar"
	"strconv"
	"time"

	"github.com/appgovd/appgovd/internal/fault"
)

// Indexer acknowledgement: an answer to events carries a number, and Splunk says
// by and by which numbers are indexed. The numbers belong to a channel, and a
// channel to one indexer or forwarder; behind a load balancer it is the balancer's
// cookie that leads back to that one. False means not yet, but also never heard
// of: after a restart of the indexer, and after a true that was said once. So the
// wait is bounded, what was not acknowledged is sent again in a channel of its
// own, and an event may be there twice, with one delivery id.
// https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data/about-http-event-collector-indexer-acknowledgment

// Pauses between two questions.
const (
	firstPoll = time.Second
	maxPoll   = 10 * time.Second
)

// pollFailures in a row end the wait: the channel is lost with its host.
const pollFailures = 3

// openChannel makes a channel where there is none, with a memory for the
// balancer's cookie, and asks whether the token knows acknowledgement at all,
// before any event is sent that would be sent again and again.
func (s *Sink) openChannel(ctx context.Context, token string) error {
	if s.channel != "" {
		return nil
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return fmt.Errorf("write to splunk: %w", err)
	}
	s.SetJar(jar)
	s.channel = newGUID()
	if _, err := s.indexed(ctx, token, 0); err != nil {
		s.channel = ""
		return err
	}
	return nil
}

// newGUID is a random UUID, RFC 9562, version 4.
func newGUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// awaitIndexed waits until what the answer with that number was about is
// indexed. On every error the channel is given up.
func (s *Sink) awaitIndexed(ctx context.Context, token string, id *int64) error {
	err := s.poll(ctx, token, id)
	if err != nil {
		s.channel = ""
	}
	return err
}

func (s *Sink) poll(ctx context.Context, token string, id *int64) error {
	if id == nil {
		return fault.WithHint(fault.NewAuth(errors.New("write to splunk: the answer has no ackId")), "the token has no indexer acknowledgement: enable it in its settings, or leave out acknowledge (Splunk Cloud has none)")
	}
	failed := 0
	for waited, wait := time.Duration(0), firstPoll; waited < s.ackTimeout; waited, wait = waited+wait, min(2*wait, maxPoll) {
		if err := s.pause(ctx, wait); err != nil {
			return err
		}
		done, err := s.indexed(ctx, token, *id)
		switch {
		case done:
			return nil
		case err == nil:
			failed = 0
			continue
		}
		if failed++; failed == pollFailures || fault.Of(err) != fault.Transient && fault.Of(err) != fault.Throttled {
			return err
		}
	}
	return fault.WithHint(fmt.Errorf("write to splunk: not indexed within %s", s.ackTimeout),
		"the indexers are slow or blocked, or a load balancer leads the questions elsewhere: it must be sticky by cookie or by address; or raise ack_timeout")
}

// indexed asks for one number.
func (s *Sink) indexed(ctx context.Context, token string, id int64) (bool, error) {
	a, err := s.post(ctx, token, "/services/collector/ack?channel="+s.channel, []byte(`{"acks":[`+strconv.FormatInt(id, 10)+`]}`))
	if err != nil {
		return false, err
	}
	var r struct {
		Acks map[string]bool `json:"acks"`
	}
	if a.OK() && json.Unmarshal(a.Body, &r) == nil && r.Acks != nil {
		return r.Acks[strconv.FormatInt(id, 10)], nil
	}
	switch _, err := s.judge(a); {
	case err == nil:
		return false, s.Foreign(a)
	case fault.Of(err) == fault.Permanent: // about the question, not about an event
		return false, s.Error(a)
	default:
		return false, err
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
