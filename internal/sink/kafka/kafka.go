// Package kafka owns the sink that writes alerts to a Kafka topic: one record
// per alert, ordered per app, acknowledged by all in-sync replicas. Delivery is
// at least once: a record that comes twice carries the same delivery id in its
// header ce_id and in its body.
package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
)

// Options of New.
type Options struct {
	Secret func(secret.Ref) (func() (string, error), error) // opens references; needed with SASL
	Now    func() time.Time                                 // nil = the machine's clock
}

// Sink writes to its topics. It has one batch in flight.
type Sink struct {
	topic     string
	topics    map[string]string // by kind, those that are not topic
	encode    format.Encoder
	content   string // media type of the values
	maxBytes  int
	target    kafkalogin.Target
	wanted    []kafka.TopicConfig // by Setup
	login     *kafkalogin.Login   // nil without one
	writer    *kafka.Writer
	transport *kafka.Transport
}

// New checks the configuration and opens the secrets; it connects to nothing.
func New(c Config, o Options) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	encode, err := format.Named(c.Format)
	if err != nil {
		return nil, err
	}
	s := &Sink{topic: c.Topic, topics: c.Topics, encode: encode, content: "application/json", maxBytes: c.maxBytes(), target: c.target(), wanted: c.wanted()}
	if !format.IsJSON(c.Format) {
		s.content = "text/plain; charset=utf-8"
	}
	if err := s.connect(c, o); err != nil {
		return nil, fmt.Errorf("build kafka sink: %w", err)
	}
	s.writer = newWriter(c, s.transport)
	return s, nil
}

// lastly is how long a request waits for more records: not at all, since a write brings
// all that there are, and the writer takes them in one piece.
const lastly = time.Microsecond

// largestBatch is how many records of one partition go into one request: no
// fewer than a worker's batch has. The writer allocates room for all of them at
// each write.
const largestBatch = 1000

// newWriter writes out every setting whose default would lose or hide something.
func newWriter(c Config, t *kafka.Transport) *kafka.Writer {
	timeout := deliver.DurationOr(c.Timeout, 10*time.Second)
	compression, _ := c.compression()
	return &kafka.Writer{
		Addr:                   kafka.TCP(c.Brokers...),
		Balancer:               kafka.Murmur2Balancer{Consistent: true},
		MaxAttempts:            1,
		BatchSize:              largestBatch,
		BatchBytes:             int64(c.maxBytes()),
		BatchTimeout:           lastly,
		ReadTimeout:            timeout,
		WriteTimeout:           timeout,
		RequiredAcks:           kafka.RequireAll,
		Async:                  false,
		Compression:            compression,
		Transport:              t,
		AllowAutoTopicCreation: false,
	}
}

// connect prepares the connections.
func (s *Sink) connect(c Config, o Options) (err error) {
	t := &kafka.Transport{ClientID: cmp.Or(c.ClientID, "appgovd"), DialTimeout: 10 * time.Second, MetadataTopics: c.allTopics()}
	if t.TLS, err = c.TLS.Config(); err != nil {
		return err
	}
	if c.SASL != nil {
		if s.login, err = kafkalogin.New(*c.SASL, s.target, kafkalogin.Options{Secret: o.Secret, Now: o.Now}); err != nil {
			return err
		}
		t.SASL = s.login
	}
	s.transport = t
	return nil
}

// Write sends the batch in requests of at most MaxMessageBytes, one after the other, so
// that a failure never lets a later record of an app overtake an earlier one in its topic.
// Records that a partition refused come back in Rejected.Retry, with everything behind
// them. What the brokers say of one topic keeps no other one back.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.login.Due() {
		s.transport.CloseIdleConnections()
	}
	v := verdict{alone: len(batch) == 1}
	var code kafka.Error
	var broken error // what every topic would meet
	for _, todo := range s.byTopic(s.records(batch, &v)) {
		if broken != nil {
			v.again(todo, nil)
			continue
		}
		if err := s.send(ctx, todo, &v); !errors.As(err, &code) {
			broken = err
		}
	}
	s.afresh(v.cause)
	return v.err()
}

// send writes the records of one topic. An error is what kept some of them back.
func (s *Sink) send(ctx context.Context, todo records, v *verdict) error {
	for len(todo.messages) > 0 {
		n := todo.fit(s.maxBytes)
		now := todo.cut(n)
		if err := s.writer.WriteMessages(ctx, now.messages...); err != nil {
			err = s.judge(v, now, err)
			v.again(todo, nil)
			return err
		}
		v.accepted += n
	}
	return nil
}

// Close waits for the request in flight, within its time limit, and closes the
// connections; more than once is harmless.
func (s *Sink) Close() error {
	err := s.writer.Close()
	s.transport.CloseIdleConnections()
	return err
}

// judge maps the answer to a request to its records, and returns what the last of them
// that failed met.
func (s *Sink) judge(v *verdict, sent records, err error) (why error) {
	topic := sent.messages[0].Topic
	var each kafka.WriteErrors
	if !errors.As(err, &each) || len(each) != len(sent.messages) { // nothing was sent
		why = s.explain(topic, err)
		if errors.Is(err, kafka.UnknownTopicOrPartition) {
			why = s.missing(topic)
		}
		v.again(sent, why)
		return why
	}
	for i, err := range each {
		if err == nil {
			v.accepted++
			continue
		}
		why = s.explain(topic, err)
		v.failed(sent.index[i], why)
	}
	return why
}

// afresh closes the connections after a failure that new ones may mend: they would go on
// with what they know of the cluster, and log in again and again while the sink pauses.
func (s *Sink) afresh(cause error) {
	if c := fault.Of(cause); cause != nil && (c == fault.Transient || c == fault.Auth) {
		s.transport.CloseIdleConnections()
	}
}

// Probe logs in and asks for the topics; found is what is there. It writes nothing.
func (s *Sink) Probe(ctx context.Context) (found string, err error) {
	defer func() { s.afresh(err) }()
	client := kafka.Client{Addr: s.writer.Addr, Transport: s.transport, Timeout: s.writer.ReadTimeout}
	answer, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: s.target.Topics})
	if err != nil {
		return "", s.explain(s.topic, err)
	}
	var all []string
	for _, name := range s.target.Topics {
		i := slices.IndexFunc(answer.Topics, func(t kafka.Topic) bool { return t.Name == name })
		switch {
		case i < 0, errors.Is(answer.Topics[i].Error, kafka.UnknownTopicOrPartition):
			return "", s.missing(name)
		case answer.Topics[i].Error != nil:
			return "", s.explain(name, answer.Topics[i].Error)
		}
		all = append(all, fmt.Sprintf("topic %s has %d partitions", name, len(answer.Topics[i].Partitions)))
	}
	return fmt.Sprintf("%s on %d brokers", strings.Join(all, ", "), len(answer.Brokers)), nil
}
