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
	"strings"
	"sync"
	"sync/atomic"
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
	topic      string
	topics     map[string]string // by kind, those that are not topic
	encode     format.Encoder
	content    string // media type of the values
	maxBytes   int
	target     kafkalogin.Target
	wanted     []kafka.TopicConfig // by Setup
	login      *kafkalogin.Login   // nil without one
	renewals   int                 // of its token, at which the connections were made
	compressor *compressor
	client     *kafka.Client
	transport  *kafka.Transport
	now        func() time.Time
	spare      sync.Pool // of *recordBatch
	closed     atomic.Bool
}

// New checks the configuration and opens the secrets; it connects to nothing.
func New(c Config, o Options) (*Sink, error) {
	if err := c.Validate().Err(); err != nil {
		return nil, err
	}
	encode, err := format.Named(c.Format, format.NewLinks(c.Links))
	if err != nil {
		return nil, err
	}
	s := &Sink{topic: c.Topic, topics: c.Topics, encode: encode, content: "application/json", maxBytes: c.maxBytes(), target: c.target(), wanted: c.wanted(), now: o.Now}
	if s.now == nil {
		s.now = time.Now
	}
	if !format.IsJSON(c.Format) {
		s.content = "text/plain; charset=utf-8"
	}
	if err := s.connect(c, o); err != nil {
		return nil, fmt.Errorf("build kafka sink: %w", err)
	}
	return s, nil
}

// connect prepares the connections.
func (s *Sink) connect(c Config, o Options) (err error) {
	t := &kafka.Transport{ClientID: cmp.Or(c.ClientID, "appgovd"), DialTimeout: 10 * time.Second, MetadataTopics: c.allTopics()}
	if t.TLS, err = c.TLS.Config(); err != nil {
		return err
	}
	if c.SASL != nil {
		if s.login, err = kafkalogin.New(*c.SASL, s.target, kafkalogin.Options{Secret: o.Secret, Now: s.now}); err != nil {
			return err
		}
		t.SASL = s.login
	}
	codec, _ := c.compression()
	if s.compressor, err = newCompressor(codec); err != nil {
		return err
	}
	s.transport = t
	s.client = &kafka.Client{Addr: kafka.TCP(c.Brokers...), Transport: t, Timeout: deliver.DurationOr(c.Timeout, 10*time.Second)}
	return nil
}

// Write sends what goes to each partition in requests of at most MaxMessageBytes, one
// after the other, so that a failure never lets a later record of an app overtake an
// earlier one in its topic; partitions do not wait for each other. Records that a
// partition refused come back in Rejected.Retry, with everything behind them.
func (s *Sink) Write(ctx context.Context, batch []event.Alert) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return errors.New("write kafka: the sink is closed")
	}
	if len(batch) == 0 {
		return nil
	}
	if n := s.login.Renewals(ctx); n != s.renewals {
		s.renewals = n
		s.transport.CloseIdleConnections()
	}
	v := verdict{alone: len(batch) == 1}
	lots := s.lots(ctx, batch, &v)
	each := make([]verdict, len(lots))
	var wg sync.WaitGroup
	for i, l := range lots {
		each[i].alone = v.alone
		wg.Go(func() { s.send(ctx, batch, l, &each[i]) })
	}
	wg.Wait()
	for i := range each {
		v.join(&each[i])
	}
	s.afresh(v.cause)
	return v.err()
}

// Close closes the connections; more than once is harmless.
func (s *Sink) Close() error {
	s.closed.Store(true)
	s.transport.CloseIdleConnections()
	return nil
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
	answer, err := s.client.Metadata(ctx, &kafka.MetadataRequest{Topics: s.target.Topics})
	if err != nil {
		return "", s.explain(s.topic, err)
	}
	there, err := s.partitions(ctx)
	if err != nil {
		return "", err
	}
	var all []string
	for _, name := range s.target.Topics {
		if err := there[name].err; err != nil {
			return "", err
		}
		all = append(all, fmt.Sprintf("topic %s has %d partitions", name, len(there[name].all)))
	}
	return fmt.Sprintf("%s on %d brokers", strings.Join(all, ", "), len(answer.Brokers)), nil
}
