package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka takes the messages of a stream to a topic, which must be there.
type Kafka struct {
	w     *kafka.Writer
	begun bool // something was taken
}

// NewKafka makes one for brokers (host:port) without TLS and without a log-in. The
// caller closes it.
func NewKafka(brokers []string, topic string) *Kafka {
	return &Kafka{w: &kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: topic, RequiredAcks: kafka.RequireAll, Balancer: &kafka.RoundRobin{}, MaxAttempts: 1, BatchTimeout: time.Millisecond,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, BatchBytes: 1_000_000, // a broker refuses a batch above 1 MiB, if nobody told it otherwise
	}}
}

// Send comes back once the broker has acknowledged all messages. Until then, or until
// ctx ends, it sends what is not acknowledged again: nothing is lost where a broker
// dies, and some of it comes twice. Documented of Event Hubs: at least once. What is
// refused for good, or fails before anything was ever taken, is an error at once.
func (k *Kafka) Send(ctx context.Context, messages [][]byte) error {
	left := make([]kafka.Message, len(messages))
	for i, m := range messages {
		left[i].Value = m
	}
	for {
		err := k.w.WriteMessages(ctx, left...)
		if err == nil {
			k.begun = true
			return nil
		}
		if bad := refusedForGood(err); bad != nil || !k.begun {
			return fmt.Errorf("write to topic %s: %w", k.w.Topic, cmp.Or(bad, err))
		}
		if each := (kafka.WriteErrors)(nil); errors.As(err, &each) {
			var failed []kafka.Message
			for i, e := range each {
				if e != nil {
					failed = append(failed, kafka.Message{Value: left[i].Value})
				}
			}
			left = failed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("write to topic %s: %w", k.w.Topic, errors.Join(ctx.Err(), err))
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// refusedForGood is what no further try would mend; nil = there is no such.
func refusedForGood(err error) error {
	all := kafka.WriteErrors{err}
	_ = errors.As(err, &all)
	for _, e := range all {
		if code := kafka.Error(0); errors.As(e, &code) && !code.Temporary() || errors.As(e, new(kafka.MessageTooLargeError)) {
			return e
		}
	}
	return nil
}

// Close ends the connections.
func (k *Kafka) Close() error { return k.w.Close() }
