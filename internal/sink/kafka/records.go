package kafka

import (
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
	r := records{make([]kafka.Message, 0, len(batch)), make([]int, 0, len(batch))}
	for i := range batch {
		m := s.record(&batch[i])
		if n := size(&m); n > s.maxBytes {
			v.refuse(i, fmt.Sprintf("the record of %d bytes is larger than max_message_bytes (%d)", n, s.maxBytes))
			continue
		}
		r.messages, r.index = append(r.messages, m), append(r.index, i)
	}
	return r
}

// record is a in CloudEvents' binary mode.
// https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
func (s *Sink) record(a *event.Alert) kafka.Message {
	delivery := a.DeliveryID.String()
	kind, id := "appgovd.alert."+string(a.State), "alert_id"
	if a.Event != nil {
		kind, id = "appgovd.event", "event_id"
	}
	m := kafka.Message{
		Key:   []byte(a.Tenant + "/" + a.App.Key()),
		Value: s.encode(make([]byte, 0, 2<<10), a),
		Headers: []kafka.Header{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte(delivery)},
			{Key: "ce_source", Value: []byte("/appgovd/" + a.Provider + "/" + a.Tenant)},
			{Key: "ce_type", Value: []byte(kind)},
			{Key: "content-type", Value: []byte(s.content)},
			{Key: "detection_source", Value: []byte(event.DetectionSource)},
			{Key: id, Value: []byte(a.ID.String())},
			{Key: "delivery_id", Value: []byte(delivery)},
			{Key: "sequence", Value: strconv.AppendUint(nil, uint64(a.Sequence), 10)},
		},
	}
	if !a.Time.IsZero() {
		m.Headers = append(m.Headers, kafka.Header{Key: "ce_time", Value: []byte(a.Time.UTC().Format(time.RFC3339Nano))})
	}
	if key := a.App.Key(); key != "" {
		m.Headers = append(m.Headers, kafka.Header{Key: "ce_subject", Value: []byte(key)})
	}
	return m
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
