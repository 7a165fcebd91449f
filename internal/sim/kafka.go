package sim

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"
)

// Kafka takes the messages of a stream to a topic, which must be there.
type Kafka struct{ w *kafka.Writer }

// NewKafka makes one for brokers (host:port) without TLS and without a log-in. The
// caller closes it.
func NewKafka(brokers []string, topic string) *Kafka {
	return &Kafka{&kafka.Writer{
		Addr: kafka.TCP(brokers...), Topic: topic, RequiredAcks: kafka.RequireAll, Balancer: &kafka.RoundRobin{}, MaxAttempts: 1, BatchTimeout: time.Millisecond,
		ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, BatchBytes: 2 << 20,
	}}
}

// Send comes back once the broker has acknowledged all messages. Until then, or until
// ctx ends, it sends what is not acknowledged again: nothing is lost where a broker
// dies, and some of it comes twice. Documented of Event Hubs: at least once.
func (k *Kafka) Send(ctx context.Context, messages [][]byte) error {
	left := make([]kafka.Message, len(messages))
	for i, m := range messages {
		left[i].Value = m
	}
	for {
		err := k.w.WriteMessages(ctx, left...)
		if err == nil {
			return nil
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

// Close ends the connections.
func (k *Kafka) Close() error { return k.w.Close() }
