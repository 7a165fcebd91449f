package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
)

// chunk is what one fetch of a partition brought, decoded; or why there is none.
type chunk struct {
	partition
	Batch
	at  place
	err error
}

// fetchers read the partitions of one generation from given places on, each in a
// goroutine of its own that has at most one chunk ready.
type fetchers struct {
	chunks chan chunk
	recent *recent
	cancel context.CancelFunc
	wg     sync.WaitGroup

	count   int // partitions
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
	conn  *kafka.Conn
	empty int // requests one after the other that brought a batch without messages
}

// run fetches until ctx ends. What fails is handed on as a chunk, and tried again: the
// other partitions do not wait for it.
func (f *fetcher) run(ctx context.Context) {
	for pause := f.k.retry; ; pause = min(2*pause, mostPause) {
		from := f.at.Next
		err := f.session(ctx)
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
	if f.conn, err = f.k.dialLeader(ctx, f.partition); err != nil {
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
	_, err = f.conn.Seek(f.at.Next, kafka.SeekAbsolute|kafka.SeekDontCheck)
	return err
}

func (f *fetcher) gap(ctx context.Context, reason string) {
	now := f.k.o.Now().UTC()
	from := f.at.Last
	if from.IsZero() || from.After(now) {
		from = now
	}
	c := chunk{partition: f.partition, at: f.at}
	c.gaps = []event.Gap{{Source: f.k.o.Key, From: from, To: now, Reason: reason}}
	f.send(ctx, c)
}

// fetch reads what one request brings.
func (f *fetcher) fetch(ctx context.Context) error {
	asked, before := time.Now(), f.at.Next
	_ = f.conn.SetDeadline(asked.Add(f.k.timeout + f.k.maxWait))
	b := f.conn.ReadBatchWith(kafka.ReadBatchConfig{MinBytes: 1, MaxBytes: f.bytes, MaxWait: f.k.maxWait})
	c := chunk{partition: f.partition, Batch: f.k.o.newBatch(f.begun)}
	c.recent = f.out.recent
	n, err := f.messages(ctx, b, &c)
	if closed := b.Close(); err == nil {
		err = closed
	}
	if err == nil {
		f.pass(before, b.HighWaterMark())
	}
	if n > 0 {
		c.at = f.at
		f.send(ctx, c)
	}
	switch {
	case errors.Is(err, kafka.OffsetOutOfRange):
		return f.seek(ctx)
	case errors.Is(err, kafka.RequestTimedOut): // nothing within the time
		err = nil
	}
	if err == nil {
		f.reach(b.HighWaterMark(), asked)
	}
	return err
}

// pass goes behind what compaction and transactions left. Behind a batch that has no
// messages any more the client stands at offset 1, and there are messages further on:
// the batch is passed offset by offset.
func (f *fetcher) pass(before, end int64) {
	next, _ := f.conn.Offset()
	switch f.at.Next = max(f.at.Next, next); {
	case f.at.Next > before:
		f.empty = 0
	case next == 1 && f.at.Next < end:
		if f.empty++; f.empty > 2 { // not by chance
			f.at.Next++
		}
	}
	_, _ = f.conn.Seek(f.at.Next, kafka.SeekAbsolute|kafka.SeekDontCheck) // asks nobody
}

// isMarker reports whether m is the end of a transaction, which the client hands on like
// a message.
func isMarker(m *kafka.Message) bool {
	return len(m.Key) == 4 && m.Key[0] == 0 && m.Key[1] == 0 && len(m.Value) == 6
}

// reach notes how far the partition is read. A message may have the producer's time: one
// that is still to come tells nothing.
func (f *fetcher) reach(end int64, asked time.Time) {
	if f.at.Next >= end {
		f.out.reached(f.partition, asked, true)
	} else if !f.at.Last.IsZero() && f.at.Last.Before(asked) {
		f.out.reached(f.partition, f.at.Last, false)
	}
}

// messages decodes what lies in b, as far as a page has room, and returns how many
// messages that were.
func (f *fetcher) messages(ctx context.Context, b *kafka.Batch, c *chunk) (n int, err error) {
	for ctx.Err() == nil && !c.full() {
		m, err := b.ReadMessage()
		switch {
		case errors.Is(err, io.EOF):
			return n, nil
		case err != nil:
			return n, err
		case m.Offset < f.at.Next: // read before
			continue
		}
		f.at = place{Next: m.Offset + 1, Last: m.Time.UTC()}
		if isMarker(&m) {
			continue
		}
		n++
		if len(m.Value) > f.k.maxMessage {
			c.refuse(m.Value, "too_large", fmt.Sprintf("the message at offset %d of %s has %d bytes, more than max_message_bytes", m.Offset, f.partition, len(m.Value)))
			continue
		}
		f.k.o.decode(m.Value, &c.Batch)
	}
	return n, ctx.Err()
}
