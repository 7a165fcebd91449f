package kafka

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// lot is what goes to one partition, in its order.
type lot struct {
	topic     string
	partition int
	index     []int // in the batch
}

// lots are the batch by partition. What has none, as its topic is missing, is noted in v.
func (s *Sink) lots(ctx context.Context, batch []event.Alert, v *verdict) []*lot {
	partitions, err := s.partitions(ctx)
	if err != nil {
		for i := range batch {
			v.failed(i, err)
		}
		return nil
	}
	type place struct {
		topic     string
		partition int
	}
	var all []*lot
	at, key := map[place]*lot{}, []byte(nil)
	for i := range batch {
		topic := s.topicOf(&batch[i])
		there := partitions[topic]
		if there.err != nil {
			v.failed(i, there.err)
			continue
		}
		key = appendKey(key[:0], batch[i].Tenant, batch[i].App.Key())
		p := place{topic, kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: key}, there.all...)}
		if at[p] == nil {
			at[p] = &lot{topic: topic, partition: p.partition}
			all = append(all, at[p])
		}
		at[p].index = append(at[p].index, i)
	}
	return all
}

// topicOf is where an alert or an event goes, by its kind.
func (s *Sink) topicOf(a *event.Alert) string {
	kind := a.Kind
	if a.Event != nil {
		kind = a.Event.Class
	}
	return cmp.Or(s.topics[kind], s.topic)
}

// partitions of a topic, or why it has none.
type partitions struct {
	all []int
	err error
}

// partitions asks for those of all topics; the client keeps the answer for some seconds.
func (s *Sink) partitions(ctx context.Context) (map[string]partitions, error) {
	answer, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: s.target.Topics})
	if err != nil {
		return nil, s.explain(s.topic, err)
	}
	found := map[string]partitions{}
	for _, name := range s.target.Topics {
		i := slices.IndexFunc(answer.Topics, func(t kafka.Topic) bool { return t.Name == name })
		switch {
		case i < 0, errors.Is(answer.Topics[i].Error, kafka.UnknownTopicOrPartition):
			found[name] = partitions{err: s.missing(name)}
		case answer.Topics[i].Error != nil:
			found[name] = partitions{err: s.explain(name, answer.Topics[i].Error)}
		case len(answer.Topics[i].Partitions) == 0:
			found[name] = partitions{err: s.explain(name, kafka.LeaderNotAvailable)}
		default:
			all := make([]int, len(answer.Topics[i].Partitions))
			for j := range all {
				all[j] = j
			}
			found[name] = partitions{all: all}
		}
	}
	return found, nil
}

// send writes a lot in batches of at most maxBytes, one after the other. Behind one that
// fails nothing is sent.
func (s *Sink) send(ctx context.Context, batch []event.Alert, l *lot, v *verdict) {
	b, _ := s.spare.Get().(*recordBatch)
	if b == nil {
		b = &recordBatch{}
	}
	for todo := l.index; len(todo) > 0; {
		n, sent := s.fill(b, batch, todo, v)
		if len(sent) > 0 {
			if err := s.produce(ctx, l, b); err != nil {
				for _, i := range sent {
					v.failed(i, err)
				}
				v.retry = append(v.retry, todo[n:]...)
				return // the client may still read what b has
			}
			v.accepted += len(sent)
		}
		todo = todo[n:]
	}
	s.spare.Put(b)
}

// fill writes records into b, as many as fit. What is larger than any request is refused.
// done is how many of todo are settled by that, sent those that are in b.
func (s *Sink) fill(b *recordBatch, batch []event.Alert, todo []int, v *verdict) (done int, sent []int) {
	b.reset()
	for done < len(todo) {
		i, before := todo[done], len(b.records)
		s.write(b, &batch[i])
		b.add()
		if b.size() <= s.maxBytes {
			sent = append(sent, i)
			done++
			continue
		}
		size := batchHeader + len(b.records) - before
		b.records = b.records[:before]
		b.count--
		if size <= s.maxBytes {
			break
		}
		v.refuse(i, fmt.Sprintf("the record of %d bytes is larger than max_message_bytes (%d)", size, s.maxBytes))
		done++
	}
	return done, sent
}

// produce sends a batch and waits until all replicas in sync have it.
func (s *Sink) produce(ctx context.Context, l *lot, b *recordBatch) error {
	whole, err := b.seal(s.compressor, s.now())
	if err != nil {
		return fault.NewPermanent(err)
	}
	answer, err := s.client.RawProduce(ctx, &kafka.RawProduceRequest{Topic: l.topic, Partition: l.partition, RequiredAcks: kafka.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(whole)}})
	if err == nil {
		err = answer.Error
	}
	if err != nil {
		return s.explain(l.topic, err)
	}
	return nil
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

// join adds what became of other alerts of the same batch.
func (v *verdict) join(w *verdict) {
	v.accepted += w.accepted
	v.refused, v.retry = append(v.refused, w.refused...), append(v.retry, w.retry...)
	if v.cause == nil || fault.Of(v.cause) == fault.Permanent && w.cause != nil {
		v.cause = w.cause
	}
}

func (v *verdict) err() error {
	switch {
	case len(v.refused) == 0 && len(v.retry) == 0:
		return nil
	case len(v.refused) == 0 && v.accepted == 0:
		return v.cause
	}
	slices.Sort(v.retry)
	slices.SortFunc(v.refused, func(a, b deliver.Rejection) int { return a.Index - b.Index })
	return &deliver.Rejected{Items: v.refused, Retry: v.retry, After: v.cause}
}
