package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// chunk is what one fetch of a partition brought, decoded; or why there is none.
type chunk struct {
	partition
	Batch
	at   place
	some bool // there is something in it
	err  error
}

// fetchers read the partitions of one generation from given places on, each in a
// goroutine of its own that has at most one chunk ready.
type fetchers struct {
	chunks chan chunk
	recent *recent
	cancel context.CancelFunc
	wg     sync.WaitGroup

	count   int            // partitions
	recalls sync.WaitGroup // of partitions, the first attempt to recall
	known   chan struct{}  // closed when all were made
	until   time.Time      // when they end

	mu      sync.Mutex
	through map[partition]time.Time // by the broker's clock: everything before has been read
	ended   map[partition]bool      // those that were read to their end
	failing map[partition]error     // those that cannot be read at the moment
}

func newFetchers(chunks chan chunk, cancel context.CancelFunc) *fetchers {
	return &fetchers{chunks: chunks, cancel: cancel, through: map[partition]time.Time{}, ended: map[partition]bool{}, failing: map[partition]error{}}
}

// fails notes what became of the last request; nil = it went well.
func (f *fetchers) fails(p partition, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if delete(f.failing, p); err != nil {
		f.failing[p] = err
	}
}

// trouble is the error of a partition that cannot be read at the moment, nil where all
// can; all = none can be read.
func (f *fetchers) trouble() (err error, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, err = range f.failing {
		break
	}
	return err, len(f.failing) == f.count
}

// allEnded reports whether every partition was read to its end.
func (f *fetchers) allEnded() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ended) == f.count
}

// stop ends all fetchers and waits for them.
func (f *fetchers) stop() {
	f.cancel()
	f.wg.Wait()
}

func (f *fetchers) reached(p partition, t time.Time, end bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.through[p] = t; end {
		f.ended[p] = true
	}
}

// complete is by when all partitions are read; zero where one is not known yet.
func (f *fetchers) complete(all int) (t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.through) != all {
		return t
	}
	for _, p := range f.through {
		if t.IsZero() || p.Before(t) {
			t = p
		}
	}
	return t
}

// fetcher reads one partition.
type fetcher struct {
	partition
	k     *Kafka
	out   *fetchers
	at    place
	begun time.Time
	bytes int // of one request
	conn  *wire
	in    unpacker

	first    int64 // offset that the partition has
	recalled bool
	tried    sync.Once // to recall
}

// run fetches until ctx ends. What fails is handed on as a chunk, and tried again: the
// other partitions do not wait for it.
func (f *fetcher) run(ctx context.Context) {
	defer f.tried.Do(f.out.recalls.Done)
	for pause := f.k.retry; ; pause = min(2*pause, mostPause) {
		from := f.at.Next
		err := f.session(ctx)
		f.tried.Do(f.out.recalls.Done) // whoever waits for it does not wait for a partition that cannot be read
		if ctx.Err() != nil {
			return
		}
		if f.at.Next != from {
			pause = f.k.retry
		}
		err = f.k.explain(fmt.Errorf("read %s: %w", f.partition, err))
		f.out.fails(f.partition, err)
		f.k.o.Log.Warn("partition cannot be read", zap.Error(err), zap.Duration("again_in", pause))
		f.send(ctx, chunk{partition: f.partition, at: f.at, err: err})
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// mostPause is between two attempts to read a partition.
const mostPause = 10 * time.Second

// session fetches until something fails.
func (f *fetcher) session(ctx context.Context) error {
	err := f.connect(ctx)
	if err != nil {
		return err
	}
	conn := f.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	if err = f.recall(ctx); err != nil {
		return err
	}
	for err == nil && ctx.Err() == nil {
		if err = f.fetch(ctx); err == nil {
			f.out.fails(f.partition, nil)
		}
	}
	return err
}

func (f *fetcher) send(ctx context.Context, c chunk) {
	select {
	case f.out.chunks <- c:
	case <-ctx.Done():
	}
}

// connect goes to the leader and to the place, or to the nearest that there is.
func (f *fetcher) connect(ctx context.Context) (err error) {
	if f.conn, err = f.k.dialWire(ctx, f.partition); err != nil {
		return err
	}
	if err = f.seek(ctx); err != nil {
		_ = f.conn.Close()
	}
	return err
}

// seek goes to f.at. What the topic's retention, or whoever made the topic anew, took
// away before it was read is a gap.
func (f *fetcher) seek(ctx context.Context) error {
	_ = f.conn.SetDeadline(time.Now().Add(f.k.timeout))
	first, last, err := f.conn.ReadOffsets()
	if err != nil {
		return fmt.Errorf("read offsets: %w", err)
	}
	next := f.at.Next
	f.first = first
	switch {
	case next == kafka.FirstOffset:
		f.at.Next = first
	case next < first:
		f.at.Next = first
		f.gap(ctx, fmt.Sprintf("offsets %d to %d of %s were deleted before they were read: the topic keeps its messages for a shorter time than reading was behind", next, first-1, f.partition))
	case next > last:
		f.at.Next = first
		f.gap(ctx, fmt.Sprintf("%s ends at offset %d, before %d where it was read to: it was made anew or lost its end; it is read from its beginning", f.partition, last, next))
	}
	return nil
}

func (f *fetcher) gap(ctx context.Context, reason string) {
	c := chunk{partition: f.partition, at: f.at}
	c.gaps = []event.Gap{f.lost(reason)}
	f.send(ctx, c)
}

// lost is a gap that begins behind the last message.
func (f *fetcher) lost(reason string) event.Gap {
	now := f.k.o.Now().UTC()
	from := f.at.Last
	if from.IsZero() || from.After(now) {
		from = now
	}
	return event.Gap{Source: f.k.o.Key, From: from, To: now, Reason: reason, Advice: elsewhere}
}

// fetch reads what one request brings.
func (f *fetcher) fetch(ctx context.Context) error {
	asked := time.Now()
	got, err := f.conn.ask(f.partition, f.at.Next, f.bytes, f.k.maxWait, f.k.timeout)
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		return f.seek(ctx)
	case err != nil:
		return err
	}
	if err := f.spread(ctx, got); err != nil {
		return err
	}
	f.reach(got, asked)
	return nil
}

// reach notes how far the partition is read: what open transactions hold back is not. A
// message may have the producer's time: one that is still to come tells nothing.
func (f *fetcher) reach(got *kmsg.FetchResponseTopicPartition, asked time.Time) {
	end := got.HighWatermark
	if got.LastStableOffset >= 0 {
		end = min(end, got.LastStableOffset)
	}
	switch {
	case f.at.Next >= got.HighWatermark:
		f.out.reached(f.partition, asked, true)
	case !f.at.Last.IsZero() && f.at.Last.Before(asked):
		f.out.reached(f.partition, f.at.Last, f.at.Next >= end)
	}
}

// spread decodes what an answer holds, and hands it on in chunks that fit a page.
func (f *fetcher) spread(ctx context.Context, got *kmsg.FetchResponseTopicPartition) error {
	done := newTransactions(got)
	c, read := f.chunk(), false
	for rest := got.RecordBatches; len(rest) > 0 && ctx.Err() == nil; read = true {
		b, behind, err := nextBatch(rest)
		if err != nil {
			return errors.Join(err, f.hand(ctx, &c))
		}
		if b == nil && !read {
			return fmt.Errorf("the batch at offset %d came in part", f.at.Next)
		} else if b == nil {
			break // it comes with the next answer
		}
		rest = behind
		if b.last < f.at.Next || done.passes(b) {
			f.at.Next = max(f.at.Next, b.last+1)
			continue
		}
		f.batch(ctx, b, &c)
	}
	return f.hand(ctx, &c)
}

// batch decodes the records of a batch. What can never be read is a gap.
func (f *fetcher) batch(ctx context.Context, b *batch, c *chunk) {
	err := f.in.each(b, f.k.maxMessage, func(m *message) bool {
		if m.offset >= f.at.Next {
			f.at = place{Next: m.offset + 1, Last: m.time}
			f.message(m, c)
		}
		if c.full() {
			_ = f.hand(ctx, c)
		}
		return ctx.Err() == nil
	})
	if ctx.Err() != nil {
		return
	}
	if err != nil && f.at.Next <= b.last {
		c.gaps = append(c.gaps, f.lost(fmt.Sprintf("offsets %d to %d of %s are passed over: their batch is %v", max(f.at.Next, b.first), b.last, f.partition, err)))
		c.some = true
	}
	f.at.Next = max(f.at.Next, b.last+1)
}

func (f *fetcher) message(m *message, c *chunk) {
	c.some = true
	if m.size > int64(f.k.maxMessage) {
		c.refuse(m.value, "too_large", fmt.Sprintf("the message at offset %d of %s has %d bytes, more than max_message_bytes", m.offset, f.partition, m.size))
		return
	}
	f.k.o.decode(m.value, &c.Batch)
}

func (f *fetcher) chunk() chunk {
	c := chunk{partition: f.partition, Batch: f.k.o.newBatch(f.begun)}
	c.recent = f.out.recent
	return c
}

// hand sends a chunk that has something, and begins the next.
func (f *fetcher) hand(ctx context.Context, c *chunk) error {
	if c.some {
		c.at = f.at
		f.send(ctx, *c)
		*c = f.chunk()
	}
	return ctx.Err()
}
