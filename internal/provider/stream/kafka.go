package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/kafkalogin"
)

// Kafka reads topics as a member of a consumer group, for one goroutine. The
// offsets that count are those of the cursor, which the ledger keeps; the group
// is told of them only when they came back with a Read, and so are durable. They
// tell its lag, and where another member goes on that never read the partition.
type Kafka struct {
	cfg KafkaConfig
	o   Options

	dialer *kafka.Dialer
	login  *kafkalogin.Login // nil without one

	start      int64 // of partitions that neither the cursor nor the group knows
	lateness   time.Duration
	timeout    time.Duration // of one request
	maxWait    time.Duration // of the broker for something new
	idle       time.Duration // of a Read for something new
	retry      time.Duration // after which a partition that failed is tried again, at first
	fetchBytes int           // of one request, at most
	maxMessage int
	maxEvents  int // of one page
	maxRecords int

	group     *kafka.ConsumerGroup
	total     int // partitions of all topics
	shared    atomic.Bool
	gen       *kafka.Generation
	ended     chan struct{} // closed when gen is over
	out       *fetchers     // nil = not begun
	at        offsets       // behind the last page
	committed map[string]map[int]int64
	told      time.Time // when the group was last told
	through   time.Time
}

// NewKafka opens the secrets and connects to nothing. The caller closes the source.
func NewKafka(c KafkaConfig, o Options) (*Kafka, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, p := range c.Validate() {
		return nil, fmt.Errorf("check source %s: %w", o.Key, p)
	}
	o = o.withDefaults()
	k := &Kafka{
		cfg: c, o: o, start: kafka.FirstOffset, lateness: c.Late(), timeout: durationOr(c.Timeout, 10*time.Second),
		maxWait: 500 * time.Millisecond, idle: durationOr(c.Idle, 10*time.Second), retry: time.Second, fetchBytes: mostFetched, maxMessage: defaultMaxMessage, maxEvents: 2000, maxRecords: 100_000,
	}
	if c.Start == startNewest {
		k.start = kafka.LastOffset
	}
	if c.MaxMessageBytes > 0 {
		k.maxMessage = c.MaxMessageBytes
	}
	if err := k.prepare(); err != nil {
		return nil, fmt.Errorf("build source %s: %w", o.Key, err)
	}
	return k, nil
}

// prepare makes what connects.
func (k *Kafka) prepare() (err error) {
	k.dialer = &kafka.Dialer{ClientID: cmp.Or(k.cfg.ClientID, "appgovd"), Timeout: k.timeout, DualStack: true, KeepAlive: 30 * time.Second, DialFunc: k.o.Dial}
	if k.dialer.TLS, err = k.cfg.TLS.Config(); err != nil || k.cfg.SASL == nil {
		return err
	}
	if k.login, err = kafkalogin.New(*k.cfg.SASL, k.cfg.target(), kafkalogin.Options{Secret: k.o.Secret, Now: k.o.Now, Dial: k.o.Dial}); err != nil {
		return err
	}
	k.dialer.SASLMechanism = k.login
	return nil
}

// Close leaves the group and ends what runs for the source; more than once is
// harmless.
func (k *Kafka) Close() {
	k.stop()
	if k.group != nil {
		_ = k.group.Close() // returns nil
		k.group, k.gen = nil, nil
	}
}

// Shared reports whether other members of the group read some of the partitions. It
// may be called at any time.
func (k *Kafka) Shared() bool { return k.shared.Load() }

// Read returns what came behind cursor, at the latest after some seconds of nothing.
func (k *Kafka) Read(ctx context.Context, cursor []byte) (event.Page, error) {
	if err := ctx.Err(); err != nil {
		return event.Page{}, err
	}
	at, lost := k.position(cursor)
	if lost != nil {
		return *lost, nil
	}
	if err := k.join(ctx, at); err != nil {
		return event.Page{}, k.explain(err)
	}
	if begun, err := k.begin(ctx, at); err != nil || begun != nil {
		return event.Page{Cursor: begun}, k.explain(err)
	}
	if k.out == nil {
		k.fetch(at)
	}
	k.tell(at)
	return k.collect(ctx, at)
}

// begin finds where partitions begin that the cursor does not know: where the group
// was told that it is, else at the configured end; one that a known topic got later at
// its first message. The cursor says so before anything is read, so that what the group
// is told later never counts. nil = all are known.
func (k *Kafka) begin(ctx context.Context, at offsets) (cursor []byte, err error) {
	before, at, found := at, at.clone(), false
	for topic, list := range k.gen.Assignments {
		for _, a := range list {
			p := partition{topic, a.ID}
			if _, known := at.find(p); known {
				continue
			}
			next := a.Offset
			if next < 0 {
				if next, err = k.edge(ctx, p, next == kafka.LastOffset && len(before.Topics[topic]) == 0); err != nil {
					return nil, fmt.Errorf("read %s: %w", p, err)
				}
			}
			at.set(p, place{Next: next})
			found = true
		}
	}
	if !found {
		return nil, nil
	}
	return at.encode(), nil
}

// edge is the first offset of a partition, or the one behind its last.
func (k *Kafka) edge(ctx context.Context, p partition, newest bool) (int64, error) {
	conn, err := k.dialWire(ctx, p)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(k.timeout))
	first, last, err := conn.ReadOffsets()
	if newest {
		return last, err
	}
	return first, err
}

// position reads the cursor. What is none begins anew, with a gap.
func (k *Kafka) position(cursor []byte) (offsets, *event.Page) {
	now := k.o.Now().UTC()
	anew := offsets{Version: offsetsVersion, Begun: now, Topics: map[string]map[int]place{}}
	if cursor == nil {
		return anew, nil
	}
	at, err := parseOffsets(cursor)
	if err != nil {
		gap := event.Gap{Source: k.o.Key, From: now, To: now, Reason: "where the topic was read to is not known any more (" + err.Error() + "): it is read as if for the first time"}
		return at, &event.Page{Cursor: anew.encode(), Gaps: []event.Gap{gap}}
	}
	return at, nil
}

// join sees to it that there is a generation whose partitions are read from at on.
func (k *Kafka) join(ctx context.Context, at offsets) error {
	if k.gen != nil {
		select {
		case <-k.ended:
			k.stop()
			k.gen = nil
		default:
		}
	}
	if k.gen == nil {
		if err := k.generation(ctx); err != nil {
			return err
		}
	}
	if k.out != nil && !slices.Equal(k.at.encode(), at.encode()) {
		k.stop()
	}
	return nil
}

// generation joins the group, or waits for its next generation. The group would not
// tell of a topic that there is not.
func (k *Kafka) generation(ctx context.Context) (err error) {
	renewals := k.login.Renewals(ctx)
	if k.total, err = k.partitions(ctx); err != nil {
		return err
	}
	if k.group == nil {
		if err := k.open(); err != nil {
			return err
		}
	}
	gen, err := k.group.Next(ctx)
	for errors.Is(err, kafka.RebalanceInProgress) {
		gen, err = k.group.Next(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			k.Close() // it would tell an old error the next time
		}
		return fmt.Errorf("join group %s: %w", k.cfg.group(), err)
	}
	ended := make(chan struct{})
	gen.Start(func(ctx context.Context) { k.outlive(ctx, renewals); close(ended) })
	k.gen, k.ended, k.committed = gen, ended, map[string]map[int]int64{}
	mine := 0
	for topic, list := range gen.Assignments {
		mine += len(list)
		k.committed[topic] = map[int]int64{}
		for _, a := range list {
			k.committed[topic][a.ID] = max(a.Offset, 0) // below it the group knows none
		}
	}
	k.shared.Store(mine < k.total)
	return nil
}

// outlive waits until a generation ends, or is to end since the token of its connections
// was renewed: the group's connection and the partitions' are made anew before the broker
// closes them.
func (k *Kafka) outlive(ctx context.Context, renewals int) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for k.login.Renewals(ctx) == renewals {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (k *Kafka) open() (err error) {
	k.group, err = kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: k.cfg.group(), Brokers: k.cfg.Brokers, Dialer: k.dialer, Topics: k.cfg.Topics, GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}, kafka.RoundRobinGroupBalancer{}},
		WatchPartitionChanges: true, PartitionWatchInterval: time.Minute, StartOffset: k.start, Timeout: k.timeout, JoinGroupBackoff: time.Second,
		SessionTimeout: 30 * time.Second, RebalanceTimeout: 30 * time.Second, HeartbeatInterval: 3 * time.Second,
	})
	return err
}

// partitions counts those of all topics; one that there is not is an error.
func (k *Kafka) partitions(ctx context.Context) (total int, err error) {
	conn, err := k.dial(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(k.timeout))
	for _, topic := range k.cfg.Topics {
		ps, err := conn.ReadPartitions(topic)
		if err != nil {
			return 0, fmt.Errorf("look for topic %s: %w", topic, err)
		}
		total += len(ps)
	}
	return total, nil
}

// dial connects to the first broker that answers.
func (k *Kafka) dial(ctx context.Context) (*kafka.Conn, error) {
	var errs []error
	for _, b := range k.cfg.Brokers {
		conn, err := k.dialer.DialContext(ctx, "tcp", b)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("connect to %s: %w", b, err))
	}
	return nil, errors.Join(errs...)
}

// leader looks for the broker that has a partition.
func (k *Kafka) leader(ctx context.Context, p partition) (kafka.Partition, error) {
	conn, err := k.dial(ctx)
	if err != nil {
		return kafka.Partition{}, err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(k.timeout))
	all, err := conn.ReadPartitions(p.topic)
	if err != nil {
		return kafka.Partition{}, fmt.Errorf("look for its leader: %w", err)
	}
	for _, one := range all {
		if one.ID == p.id && one.Error == nil && one.Leader.Host != "" {
			return one, nil
		}
	}
	return kafka.Partition{}, kafka.LeaderNotAvailable
}

// fetch begins to read the partitions of the generation.
func (k *Kafka) fetch(at offsets) {
	ctx, cancel := context.WithCancel(context.Background())
	k.out = newFetchers(make(chan chunk), cancel)
	k.out.recent = newRecent()
	k.at = at
	mine := 0
	for _, list := range k.gen.Assignments {
		mine += len(list)
	}
	k.out.begin(mine)
	bytes := min(k.fetchBytes, max(allFetched/max(mine, 1), leastFetched))
	for topic, list := range k.gen.Assignments {
		for _, a := range list {
			p := partition{topic, a.ID}
			from, _ := at.find(p) // begin saw to it
			k.spawn(ctx, p, from, bytes)
		}
	}
}

// Bounds of what the requests of all partitions bring at once, and of one request; a
// message that is larger comes whole.
const (
	allFetched   = 16 << 20
	mostFetched  = 4 << 20
	leastFetched = 1 << 20
)

func (k *Kafka) spawn(ctx context.Context, p partition, from place, bytes int) {
	f := &fetcher{partition: p, k: k, out: k.out, at: from, begun: k.at.Begun, bytes: bytes}
	k.out.wg.Go(func() { f.run(ctx) })
}

func (k *Kafka) stop() {
	if k.out != nil {
		k.out.stop()
		k.out = nil
	}
}

// collect makes a page of the chunks that there are, or waits for the first. A partition
// that cannot be read is an error where the others have nothing for a while.
func (k *Kafka) collect(ctx context.Context, at offsets) (event.Page, error) {
	var b Batch
	at = at.clone()
	timer := time.NewTimer(k.idle)
	defer timer.Stop()
	took, waits, began := false, true, time.Now()
	for waits {
		waits = false
		select {
		case <-ctx.Done():
			return event.Page{}, ctx.Err()
		case <-timer.C:
			if err, _ := k.out.trouble(); err != nil {
				return event.Page{}, err
			}
			if waits = !k.out.allEnded() && time.Since(began) < patience; waits { // there is more, or an error
				timer.Reset(k.idle)
			}
		case <-k.ended:
		case c := <-k.out.chunks:
			if waits = c.err != nil; !waits {
				k.take(&b, at, c)
				took = true
			} else if _, all := k.out.trouble(); all {
				return event.Page{}, c.err
			}
		}
	}
	k.drain(&b, at)
	k.at = at
	p := b.page(at.encode())
	p.CompleteThrough = k.complete()
	if !took {
		p.Wait = time.Millisecond // Read itself waited
	}
	return p, nil
}

// patience ends the wait for a partition that never comes to its end.
const patience = time.Minute

// drain takes what is ready, up to a page's size.
func (k *Kafka) drain(b *Batch, at offsets) {
	for len(b.events) < k.maxEvents && b.fetched < k.maxRecords && !b.full() {
		select {
		case c := <-k.out.chunks:
			if c.err == nil { // else it is noted, and tried again
				k.take(b, at, c)
			}
		default:
			return
		}
	}
}

func (k *Kafka) take(b *Batch, at offsets, c chunk) {
	b.join(&c.Batch)
	at.set(c.partition, c.at)
}

// complete is by when everything was read, as far as the lateness of records
// allows; zero while other members read some of the partitions.
func (k *Kafka) complete() time.Time {
	t := k.out.complete(k.total)
	if t.IsZero() {
		return t
	}
	if t = t.Add(-k.lateness).UTC(); t.After(k.through) {
		k.through = t
	}
	return k.through
}

// tellEvery is how often the group is told of new offsets.
const tellEvery = time.Second

// tell commits to the group what is durable by now. It is a courtesy: a commit that
// fails ends the generation by itself, or is made good by the next.
func (k *Kafka) tell(at offsets) {
	if time.Since(k.told) < tellEvery {
		return
	}
	news := map[string]map[int]int64{}
	for topic, list := range k.gen.Assignments {
		for _, a := range list {
			p, ok := at.find(partition{topic, a.ID})
			if !ok || p.Next <= k.committed[topic][a.ID] { // another member may have read further
				continue
			}
			if news[topic] == nil {
				news[topic] = map[int]int64{}
			}
			news[topic][a.ID] = p.Next
		}
	}
	if len(news) == 0 {
		return
	}
	k.told = time.Now()
	if err := k.gen.CommitOffsets(news); err != nil {
		return
	}
	for topic, list := range news {
		for id, next := range list {
			k.committed[topic][id] = next
		}
	}
}

// Check looks for the topics and reads what one of their partitions begins with,
// keeping nothing, without joining the group.
func (k *Kafka) Check(ctx context.Context) []Finding {
	total, err := k.partitions(ctx)
	if err != nil {
		err = k.explain(err)
		return []Finding{{What: "topic", Text: err.Error(), Advice: fault.Hint(err)}}
	}
	out := []Finding{{What: "topic", OK: true, Text: fmt.Sprintf("%d topics with %d partitions", len(k.cfg.Topics), total)}}
	for _, topic := range k.cfg.Topics {
		out = append(out, k.try(ctx, topic))
	}
	return out
}

// try reads the last messages of a topic.
func (k *Kafka) try(ctx context.Context, topic string) Finding {
	f := Finding{What: topic}
	c, err := k.sample(ctx, partition{topic, 0})
	switch {
	case err != nil:
		err = k.explain(err)
		f.Text, f.Advice = err.Error(), fault.Hint(err)
	case len(c.quarantined) > 0:
		f.Text = fmt.Sprintf("%d of %d records cannot be decoded: %s", len(c.quarantined), c.fetched, c.quarantined[0].Detail)
		f.Advice = "is this the right topic? If it is, please report the reason and an anonymised record"
	case c.fetched == 0:
		f.OK, f.Text = true, "can be read; its first partition has nothing that is collected yet"
	default:
		f.OK, f.Text = true, fmt.Sprintf("can be read; %d records in its first messages", c.fetched)
	}
	return f
}

func (k *Kafka) sample(ctx context.Context, p partition) (chunk, error) {
	f := &fetcher{partition: p, k: k, at: place{Next: kafka.FirstOffset}, bytes: min(k.fetchBytes, leastFetched)}
	f.out = newFetchers(make(chan chunk, 2), func() {}) // a gap, and what the request brings
	if err := f.connect(ctx); err != nil {
		return chunk{}, err
	}
	defer func() { _ = f.conn.Close() }()
	if err := f.fetch(ctx); err != nil {
		return chunk{}, err
	}
	var all chunk
	for range len(f.out.chunks) {
		c := <-f.out.chunks
		all.join(&c.Batch)
	}
	return all, nil
}
