package stream

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/fault"
)

// TestKafkaPagesAreBoundedInBytes: whatever cannot be decoded, a page fits a frame of
// the ledger, and the account adds up.
func TestKafkaPagesAreBoundedInBytes(t *testing.T) {
	for name, x := range map[string]struct {
		messages []string
		records  int
		pages    int // at least, with something
		gap      int
	}{
		"a message of numbers":   {messages: []string{`{"records":[` + strings.Repeat("1,", 100_000) + `1]}`, record("1", epoch())}, records: 100_002, pages: 1, gap: 99_001},
		"records without an id":  {messages: slices.Repeat([]string{`{"x":"` + strings.Repeat("x", 100<<10) + `"}`}, 300), records: 300, pages: 2},
		"records that are large": {messages: slices.Repeat([]string{`{"id":"1","time":"2026-05-04T03:02:01Z","x":"` + strings.Repeat("x", 100<<10) + `"}`}, 200), records: 200, pages: 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t)
			produce(t, c.ListenAddrs(), testTopic, 0, x.messages...)
			k := newKafka(t, testConfig(c.ListenAddrs()))
			_, pages, _ := drain(t, k, nil)
			fetched, gap, some := 0, 0, 0
			for _, p := range pages {
				bytes, sum := 0, len(p.Events)+len(p.Quarantined)
				for _, e := range p.Events {
					bytes += len(e.Raw)
				}
				for _, q := range p.Quarantined {
					bytes += len(q.Raw) + len(q.Detail) + len(q.Source)
				}
				for _, g := range p.Gaps {
					gap, sum = gap+g.Records, sum+g.Records
				}
				if bytes > 2*mostKept+(1<<20) {
					t.Errorf("a page of %d bytes", bytes)
				}
				if sum != p.Fetched {
					t.Errorf("%d fetched, %d accounted for", p.Fetched, sum)
				}
				if fetched += p.Fetched; p.Fetched > 0 {
					some++
				}
			}
			if fetched != x.records || gap != x.gap || some < x.pages {
				t.Errorf("%d fetched, %d in gaps, %d pages", fetched, gap, some)
			}
		})
	}
}

// TestKafkaNewPartitions: one that a known topic gets later is read from its first
// message, whatever start says.
func TestKafkaNewPartitions(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("old", epoch()))
	produce(t, c.ListenAddrs(), testTopic, 1, record("new", epoch()))
	cfg := testConfig(c.ListenAddrs())
	cfg.Start = "newest"
	at := offsets{Version: offsetsVersion, Begun: epoch(), Topics: map[string]map[int]place{testTopic: {0: {Next: 1}}}}
	if ids, _, _ := drain(t, newKafka(t, cfg), at.encode()); strings.Join(ids, ",") != "new" {
		t.Errorf("read %v", ids)
	}
}

// TestKafkaCompleteIsNeverAhead: a producer's time that is still to come does not make
// a partition complete.
func TestKafkaCompleteIsNeverAhead(t *testing.T) {
	c := cluster(t, kfake.SeedTopics(1, "ahead"))
	w := &kafka.Writer{Addr: kafka.TCP(c.ListenAddrs()...), Topic: "ahead", RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	t.Cleanup(func() { _ = w.Close() })
	for i := range 3 { // a batch each
		if err := w.WriteMessages(t.Context(), kafka.Message{Value: []byte(record(fmt.Sprint(i), epoch())), Time: time.Now().Add(1000 * time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
	cfg := testConfig(c.ListenAddrs())
	cfg.Topics, cfg.Lateness = []string{"ahead"}, "1h"
	k := newKafka(t, cfg)
	k.maxRecords, k.fetchBytes = 1, 1
	ids, pages, _ := drain(t, k, nil)
	for _, p := range pages {
		if p.CompleteThrough.After(time.Now().Add(-time.Hour)) {
			t.Errorf("complete through %v", p.CompleteThrough)
		}
	}
	if len(ids) != 3 {
		t.Errorf("read %v", ids)
	}
}

// TestKafkaPassesWhatHasNoMessages: a batch that compaction emptied.
func TestKafkaPassesWhatHasNoMessages(t *testing.T) {
	c := cluster(t)
	for i := range 8 { // a batch each
		m := kafka.Message{Value: []byte(record(fmt.Sprint(i), epoch()))}
		w := &kafka.Writer{Addr: kafka.TCP(c.ListenAddrs()...), Topic: testTopic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
			Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return 0 })}
		if err := w.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
	}
	emptied(c, 1, 2)
	emptied(c, 5, 6)
	k := newKafka(t, testConfig(c.ListenAddrs()))
	k.fetchBytes = 1
	ids, pages, _ := drain(t, k, nil)
	if strings.Join(ids, ",") != "0,3,4,7" {
		t.Errorf("read %v", ids)
	}
	for _, p := range pages {
		if len(p.Quarantined)+len(p.Gaps) > 0 {
			t.Errorf("quarantined %v, gaps %v", p.Quarantined, p.Gaps)
		}
	}
}

// emptied lets the broker answer with a batch without messages from offset first to last
// of partition 0.
func emptied(c *kfake.Cluster, first, last int64) {
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.FetchRequest)
		p := req.Topics[0].Partitions[0]
		if p.Partition != 0 || p.FetchOffset < first || p.FetchOffset > last {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		rp.Partition, rp.HighWatermark, rp.RecordBatches = 0, 8, stored(kmsg.RecordBatch{FirstOffset: first, LastOffsetDelta: int32(last - first), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1})
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
}

// TestKafkaNeverCommitsBackwards: another member may have read further than this one
// when it had the partition.
func TestKafkaNeverCommitsBackwards(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("1", epoch()), record("2", epoch()), record("3", epoch()))
	client := &kafka.Client{Addr: kafka.TCP(c.ListenAddrs()...)}
	r, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{GroupID: "appgovd", GenerationID: -1, Topics: map[string][]kafka.OffsetCommit{testTopic: {{Partition: 0, Offset: 2}}}})
	if err != nil || r.Topics[testTopic][0].Error != nil {
		t.Fatal(r, err)
	}
	at := offsets{Version: offsetsVersion, Begun: epoch(), Topics: map[string]map[int]place{testTopic: {0: {Next: 1}, 1: {}}}}
	k := newKafka(t, testConfig(c.ListenAddrs()))
	p, err := k.Read(t.Context(), at.encode()) // tells what the cursor has
	if err != nil {
		t.Fatal(err)
	}
	if got := committed(t, c.ListenAddrs(), 0); got != 2 {
		t.Errorf("the group was told offset %d", got)
	}
	k.told = time.Time{}
	if _, err := k.Read(t.Context(), p.Cursor); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, c.ListenAddrs(), 0); got != 3 {
		t.Errorf("then the group was told offset %d", got)
	}
}

// TestKafkaReadsThePartitionsThatItCan: one that cannot be read does not keep the others
// from being read, and is an error once they have nothing more.
func TestKafkaReadsThePartitionsThatItCan(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("lame", epoch()))
	var lame atomic.Bool
	lame.Store(true)
	c.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ListOffsetsRequest)
		p := req.Topics[0].Partitions[0]
		if !lame.Load() || p.Partition != 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		rt, rp := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		rt.Topic, rp.ErrorCode = testTopic, int16(kafka.LeaderNotAvailable)
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	k := newKafka(t, testConfig(c.ListenAddrs()))
	k.idle = time.Minute
	cursor := offsets{Version: offsetsVersion, Begun: epoch(), Topics: map[string]map[int]place{testTopic: {0: {}, 1: {}}}}.encode()
	for i := range 3 {
		produce(t, c.ListenAddrs(), testTopic, 1, record(fmt.Sprint(i), epoch()))
		p, err := k.Read(t.Context(), cursor)
		if err != nil || len(p.Events) != 1 {
			t.Fatalf("read %d: %d events, %v", i, len(p.Events), err)
		}
		cursor = p.Cursor
	}
	k.idle = 100 * time.Millisecond
	_, err := k.Read(t.Context(), cursor)
	assertTrouble(t, err, fault.Transient, "read partition 0", "")
	lame.Store(false)
	await(t, "the partition is read when it can be", func() bool {
		p, err := k.Read(t.Context(), cursor)
		if err == nil {
			cursor = p.Cursor
		}
		return len(p.Events) == 1 && p.Events[0].UpstreamID == "lame"
	})
}
