package kafka

import (
	"cmp"
	"fmt"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// records are encoded alerts with their places in the batch.
type records struct {
	messages []kafka.Message
	index    []int
}

// overhead of one record beside key, value and headers, generously.
const overhead = 128

func size(m *kafka.Message) int {
	n := overhead + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += len(h.Key) + len(h.Value) + 10
	}
	return n
}

// records encodes the batch. What is larger than any request is refused.
func (s *Sink) records(batch []event.Alert, v *verdict) records {
	all := s.encoded(batch)
	r := records{make([]kafka.Message, 0, len(batch)), make([]int, 0, len(batch))}
	for i := range all {
		if n := size(&all[i]); n > s.maxBytes {
			v.refuse(i, fmt.Sprintf("the record of %d bytes is larger than max_message_bytes (%d)", n, s.maxBytes))
			continue
		}
		r.messages, r.index = append(r.messages, all[i]), append(r.index, i)
	}
	return r
}

// encoded are the records of batch.
func (s *Sink) encoded(batch []event.Alert) []kafka.Message {
	all := make([]kafka.Message, len(batch))
	deliver.InParts(len(batch), func(from, to int) {
		p := newPaper(to - from)
		for i := from; i < to; i++ {
			all[i] = s.record(p, &batch[i])
		}
	})
	return all
}

// paper is what records are written on: a few large pieces of memory in place of many small ones.
type paper struct {
	b []byte
	h []kafka.Header
}

// typical is how many bytes a record takes.
const typical = 2 << 10

func newPaper(records int) *paper {
	return &paper{make([]byte, 0, records*typical), make([]kafka.Header, 0, records*11)}
}

// since is what was written behind from; nothing that is written later touches it.
func (p *paper) since(from int) []byte { return p.b[from:len(p.b):len(p.b)] }

// text writes one text of several parts.
func (p *paper) text(parts ...string) []byte {
	from := len(p.b)
	for _, s := range parts {
		p.b = append(p.b, s...)
	}
	return p.since(from)
}

// record is a in CloudEvents' binary mode.
// https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
func (s *Sink) record(p *paper, a *event.Alert) kafka.Message {
	var number [20]byte
	key, delivery, first := a.App.Key(), p.text(a.DeliveryID.String()), len(p.h)
	kind, id := p.text("appgovd.alert.", string(a.State)), "alert_id"
	if a.Event != nil {
		kind, id = p.text("appgovd.event"), "event_id"
	}
	p.h = append(p.h,
		kafka.Header{Key: "ce_specversion", Value: p.text("1.0")},
		kafka.Header{Key: "ce_id", Value: delivery},
		kafka.Header{Key: "ce_source", Value: p.text("/appgovd/", a.Provider, "/", a.Tenant)},
		kafka.Header{Key: "ce_type", Value: kind},
		kafka.Header{Key: "content-type", Value: p.text(s.content)},
		kafka.Header{Key: "detection_source", Value: p.text(event.DetectionSource)},
		kafka.Header{Key: id, Value: p.text(a.ID.String())},
		kafka.Header{Key: "delivery_id", Value: delivery},
		kafka.Header{Key: "sequence", Value: p.text(string(strconv.AppendUint(number[:0], uint64(a.Sequence), 10)))},
	)
	if !a.Time.IsZero() {
		from := len(p.b)
		p.b = a.Time.UTC().AppendFormat(p.b, time.RFC3339Nano)
		p.h = append(p.h, kafka.Header{Key: "ce_time", Value: p.since(from)})
	}
	if key != "" {
		p.h = append(p.h, kafka.Header{Key: "ce_subject", Value: p.text(key)})
	}
	from := len(p.b)
	p.b = s.encode(p.b, a)
	value := p.since(from)
	return kafka.Message{Topic: s.topicOf(a), Key: p.text(a.Tenant, "/", key), Value: value, Headers: p.h[first:len(p.h):len(p.h)]}
}

// topicOf is where an alert or an event goes, by its kind.
func (s *Sink) topicOf(a *event.Alert) string {
	kind := a.Kind
	if a.Event != nil {
		kind = a.Event.Class
	}
	return cmp.Or(s.topics[kind], s.topic)
}

// byTopic are the records of each topic, in their order.
func (s *Sink) byTopic(r records) (all []records) {
	if len(s.topics) == 0 {
		return []records{r}
	}
	at := map[string]int{}
	for i, m := range r.messages {
		if _, known := at[m.Topic]; !known {
			at[m.Topic] = len(all)
			all = append(all, records{})
		}
		part := &all[at[m.Topic]]
		part.messages, part.index = append(part.messages, m), append(part.index, r.index[i])
	}
	return all
}

// fit is how many records one request takes: at least one.
func (r *records) fit(maxBytes int) int {
	sum := 0
	for i := range r.messages {
		if sum += size(&r.messages[i]); sum > maxBytes && i > 0 {
			return i
		}
	}
	return len(r.messages)
}

// cut takes the first n records away and returns them.
func (r *records) cut(n int) records {
	first := records{r.messages[:n], r.index[:n]}
	r.messages, r.index = r.messages[n:], r.index[n:]
	return first
}

// verdict gathers what became of each alert of one batch.
type verdict struct {
	alone    bool // the batch is one alert: a refusal is about it
	accepted int
	refused  []deliver.Rejection
	retry    []int
	cause    error // of retry: what may pass by itself before what needs a split
}

func (v *verdict) refuse(i int, reason string) {
	v.refused = append(v.refused, deliver.Rejection{Index: i, Reason: reason})
}

func (v *verdict) failed(i int, err error) {
	if v.alone && fault.Of(err) == fault.Permanent {
		v.refuse(i, err.Error())
		return
	}
	v.retry = append(v.retry, i)
	if v.cause == nil || fault.Of(v.cause) == fault.Permanent {
		v.cause = err
	}
}

// again sends r again; err is nil where it was not sent because of another.
func (v *verdict) again(r records, err error) {
	for _, i := range r.index {
		if err != nil {
			v.failed(i, err)
		} else {
			v.retry = append(v.retry, i)
		}
	}
}

func (v *verdict) err() error {
	switch {
	case len(v.refused) == 0 && len(v.retry) == 0:
		return nil
	case len(v.refused) == 0 && v.accepted == 0:
		return v.cause
	default:
		return &deliver.Rejected{Items: v.refused, Retry: v.retry, After: v.cause}
	}
}
