package stream

import (
	"context"
	"time"
)

// What comes a second time after a restart is known by what stands before the places
// where the partitions go on: it is read again, for the ids of calls alone, back from
// there until as many as recent holds are known, or the bounds are reached: a small
// Event Hub gives two megabytes a second.

const (
	recallFirst = 64        // messages that are read first on the way back; then twice as many
	recallStep  = 1024      // at most
	recallBytes = 256 << 20 // of all partitions
	recallTime  = 30 * time.Second
)

// begin expects so many fetchers.
func (f *fetchers) begin(count int) {
	f.count, f.known, f.until = count, make(chan struct{}), time.Now().Add(recallTime)
	f.recalls.Add(count)
	go func() { f.recalls.Wait(); close(f.known) }()
}

// recall makes known which calls were summed up before the place, and waits until all
// partitions did: a call may come again in another one.
func (f *fetcher) recall(ctx context.Context) error {
	if f.recalled || f.out.known == nil {
		return nil
	}
	left, bytes := recentCalls/max(f.out.count, 1), recallBytes/max(f.out.count, 1)
	for end, step := f.at.Next, int64(recallFirst); end > f.first && left > 0; step = min(2*step, recallStep) {
		from := max(f.first, end-step)
		calls, err := f.callsOf(ctx, from, end, &bytes)
		if err != nil {
			return err
		}
		if calls == 0 || bytes <= 0 || time.Now().After(f.out.until) { // none are summed up here, or it is enough
			break
		}
		left, end = left-calls, from
	}
	f.recalled = true
	f.tried.Do(f.out.recalls.Done)
	select {
	case <-f.out.known:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// callsOf reads messages for the ids of their calls, and counts those. What cannot be
// read is passed over: it was told when it was read for the first time.
func (f *fetcher) callsOf(ctx context.Context, from, end int64, bytes *int) (calls int, err error) {
	for from < end && *bytes > 0 && ctx.Err() == nil {
		got, err := f.conn.ask(f.partition, from, f.bytes, f.k.maxWait, f.k.timeout)
		if err != nil {
			return calls, err
		}
		*bytes -= len(got.RecordBatches)
		done, next := newTransactions(got), from
		for b, rest, err := nextBatch(got.RecordBatches); b != nil && err == nil; b, rest, err = nextBatch(rest) {
			if next = max(next, b.last+1); !done.passes(b) {
				calls += f.ids(b, end)
			}
		}
		if next == from {
			break
		}
		from = next
	}
	return calls, ctx.Err()
}

func (f *fetcher) ids(b *batch, end int64) (calls int) {
	_ = f.in.each(b, f.k.maxMessage, func(m *message) bool {
		if m.offset < end && m.size <= int64(f.k.maxMessage) {
			c := f.chunk()
			f.k.o.decode(m.value, &c.Batch)
			calls += c.calls
		}
		return m.offset < end
	})
	return calls
}
