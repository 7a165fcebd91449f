package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// stored is a batch as a partition stores it.
func stored(b kmsg.RecordBatch) []byte {
	b.Magic, b.Length = 2, int32(49+len(b.Records))
	out := b.AppendTo(nil)
	binary.BigEndian.PutUint32(out[17:], crc32.Checksum(out[21:], crc32.MakeTable(crc32.Castagnoli)))
	return out
}

// packed is a batch of count records whose text write gives.
func packed(t testing.TB, codec compress.Compression, first int64, count int, write func(io.Writer)) []byte {
	t.Helper()
	var text bytes.Buffer
	if codec == compress.None {
		write(&text)
	} else {
		w := codec.Codec().NewWriter(&text)
		write(w)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return stored(kmsg.RecordBatch{FirstOffset: first, Attributes: int16(codec), LastOffsetDelta: int32(count - 1), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(count), Records: text.Bytes()})
}

// writeRecord writes a record of size bytes, which begins with text.
func writeRecord(w io.Writer, delta int, text string, size int) {
	head := binary.AppendVarint([]byte{0, 0}, int64(delta))
	head = append(head, 1) // without a key
	head = binary.AppendVarint(head, int64(size))
	_, _ = w.Write(binary.AppendVarint(nil, int64(len(head)+size+1)))
	_, _ = w.Write(head)
	_, _ = io.WriteString(w, text)
	zeros := make([]byte, 1<<20)
	for left := size - len(text); left > 0; left -= len(zeros) {
		_, _ = w.Write(zeros[:min(left, len(zeros))])
	}
	_, _ = w.Write([]byte{0})
}

// serve lets the broker answer with these batches of partition 0, one at a time.
func serve(c *kfake.Cluster, high int64, batches map[int64][]byte, aborted ...kmsg.FetchResponseTopicPartitionAbortedTransaction) {
	c.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ListOffsetsRequest)
		p := req.Topics[0].Partitions[0]
		if p.Partition != 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		rt, rp := kmsg.NewListOffsetsResponseTopic(), kmsg.NewListOffsetsResponseTopicPartition()
		if rt.Topic = testTopic; p.Timestamp == -1 {
			rp.Offset = high
		} else {
			rp.Offset = 0
		}
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.FetchRequest)
		p := req.Topics[0].Partitions[0]
		if p.Partition != 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		rt, rp := kmsg.NewFetchResponseTopic(), kmsg.NewFetchResponseTopicPartition()
		rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
		rp.Partition, rp.HighWatermark, rp.LastStableOffset, rp.RecordBatches, rp.AbortedTransactions = 0, high, high, batches[p.FetchOffset], aborted
		rt.Partitions = append(rt.Partitions, rp)
		resp.Topics = append(resp.Topics, rt)
		return resp, nil, true
	})
}

// TestKafkaUnpacksWithinBounds: a batch that unpacks to far more than it is does not take
// the memory that it claims; what cannot be unpacked is a gap with its reason, and what
// stands behind it is read.
func TestKafkaUnpacksWithinBounds(t *testing.T) {
	const most = 300 << 20
	good := func(w io.Writer) { writeRecord(w, 0, record("1", epoch()), len(record("1", epoch()))) }
	for _, x := range []struct {
		name   string
		batch  []byte // at offset 0, of two records
		ids    string
		refuse string
		gap    string
	}{
		{name: "a large message, zstd", refuse: "too_large", ids: "1,2", batch: packed(t, compress.Zstd, 0, 2, func(w io.Writer) {
			good(w)
			writeRecord(w, 1, "{", 200<<20)
		})},
		{name: "a large message, lz4", refuse: "too_large", ids: "1,2", batch: packed(t, compress.Lz4, 0, 2, func(w io.Writer) {
			good(w)
			writeRecord(w, 1, "{", 200<<20)
		})},
		{name: "a bomb", ids: "1,2", gap: "offsets 1 to 1 of partition 0 of topic insights-logs-auditlogs are passed over: their batch is too large: it unpacks to more than 268435456 bytes",
			batch: packed(t, compress.Zstd, 0, 2, func(w io.Writer) {
				good(w)
				writeRecord(w, 1, "{", most)
			})},
		{name: "a record that claims more than there is", ids: "1,2", gap: "offsets 1 to 1", batch: packed(t, compress.Gzip, 0, 2, func(w io.Writer) {
			good(w)
			_, _ = w.Write(append(binary.AppendVarint(nil, 1<<40), 0, 0, 2, 1))
			_, _ = w.Write(binary.AppendVarint(nil, 1<<39))
		})},
		{name: "a block of snappy that claims 4 GB", ids: "2", gap: "claims to be of", batch: stored(kmsg.RecordBatch{Attributes: int16(compress.Snappy), LastOffsetDelta: 1, NumRecords: 2,
			Records: append(binary.AppendUvarint(nil, 1<<32-1), 0, 0, 0)})},
		{name: "a window of a gigabyte", ids: "2", gap: "unreadable", batch: stored(kmsg.RecordBatch{Attributes: int16(compress.Zstd), LastOffsetDelta: 1, NumRecords: 2,
			Records: []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 20 << 3, 0x01, 0x00, 0x00}})},
		{name: "no gzip at all", ids: "2", gap: "offsets 0 to 1", batch: stored(kmsg.RecordBatch{Attributes: int16(compress.Gzip), LastOffsetDelta: 1, NumRecords: 2, Records: []byte("no gzip at all")})},
		{name: "an unknown packing", ids: "2", gap: "compression 7 is not known", batch: stored(kmsg.RecordBatch{Attributes: 7, LastOffsetDelta: 1, NumRecords: 2, Records: []byte("?")})},
		{name: "the format before Kafka 0.11", ids: "2", gap: "offsets 0 to 0 of partition 0 of topic insights-logs-auditlogs are passed over: their batch is of the format before Kafka 0.11",
			batch: slices.Concat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 15, 0, 0, 0, 0, 1, 0}, make([]byte, 9))},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := cluster(t)
			last := packed(t, compress.None, 2, 1, func(w io.Writer) { writeRecord(w, 0, record("2", epoch()), len(record("2", epoch()))) })
			serve(c, 3, map[int64][]byte{0: slices.Concat(x.batch, last), 1: last, 2: last})
			k := newKafka(t, testConfig(c.ListenAddrs()))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ids, pages, _ := drain(t, k, nil)
			runtime.ReadMemStats(&after)
			if got := strings.Join(ids, ","); got != x.ids {
				t.Errorf("read %s", got)
			}
			if took := after.TotalAlloc - before.TotalAlloc; took > 60<<20 {
				t.Errorf("%d bytes were allocated", took)
			}
			var refused, gaps string
			for _, p := range pages {
				for _, q := range p.Quarantined {
					refused += q.Reason
				}
				for _, g := range p.Gaps {
					gaps += g.Reason
				}
			}
			if refused != x.refuse || (gaps != "") != (x.gap != "") || !strings.Contains(gaps, x.gap) {
				t.Errorf("quarantined for %q, gaps %q", refused, gaps)
			}
		})
	}
}

// TestKafkaUnpacks: every packing of every kind of producer.
func TestKafkaUnpacks(t *testing.T) {
	texts := func(w io.Writer) {
		for i := range 3 {
			text := record(fmt.Sprint(i), epoch())
			writeRecord(w, i, text, len(text))
		}
	}
	var text bytes.Buffer
	texts(&text)
	batches := map[string][]byte{"snappy of one block": stored(kmsg.RecordBatch{Attributes: int16(compress.Snappy), LastOffsetDelta: 2, NumRecords: 3, Records: s2.EncodeSnappy(nil, text.Bytes())})}
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	batches["zstd in one go"] = stored(kmsg.RecordBatch{Attributes: int16(compress.Zstd), LastOffsetDelta: 2, NumRecords: 3, Records: z.EncodeAll(text.Bytes(), nil)})
	for codec := compress.None; codec <= compress.Zstd; codec++ {
		batches[codec.String()] = packed(t, codec, 0, 3, texts)
	}
	for name, b := range batches {
		t.Run(name, func(t *testing.T) {
			c := cluster(t)
			serve(c, 3, map[int64][]byte{0: b})
			ids, pages, _ := drain(t, newKafka(t, testConfig(c.ListenAddrs())), nil)
			if strings.Join(ids, ",") != "0,1,2" {
				t.Errorf("read %v", ids)
			}
			for _, p := range pages {
				if len(p.Gaps)+len(p.Quarantined) > 0 {
					t.Errorf("gaps %v, quarantined %v", p.Gaps, p.Quarantined)
				}
			}
		})
	}
}

// TestKafkaReadsWhatWasCommitted: of transactions that were aborted nothing counts, and
// what is between them does.
func TestKafkaReadsWhatWasCommitted(t *testing.T) {
	for name, brokers := range map[string]func(t *testing.T) []string{
		"a broker of the test": func(t *testing.T) []string { return cluster(t).ListenAddrs() },
		"a real broker": func(t *testing.T) []string {
			broker := servicetest.Kafka(t)
			broker.CreateTopic(t, testTopic, 2)
			return []string{broker.Plain}
		},
	} {
		t.Run(name, func(t *testing.T) {
			at := brokers(t)
			transact(t, at, true, "1", "2")
			transact(t, at, false, "3", "4")
			produce(t, at, testTopic, 0, record("5", epoch()))
			transact(t, at, false, "6")
			transact(t, at, true, "7")
			k := newKafka(t, testConfig(at))
			await(t, "the group's coordinator is there", func() bool {
				_, err := k.Read(t.Context(), nil)
				return err == nil
			})
			ids, pages, end := drain(t, k, nil)
			if strings.Join(ids, ",") != "1,2,5,7" {
				t.Errorf("read %v", ids)
			}
			for _, p := range pages {
				if len(p.Quarantined)+len(p.Gaps) > 0 {
					t.Errorf("quarantined %v, gaps %v", p.Quarantined, p.Gaps)
				}
			}
			if more, _, _ := drain(t, newKafka(t, testConfig(at)), end); len(more) > 0 {
				t.Errorf("read %v again", more)
			}
		})
	}
}

// transact writes records to partition 0 in one transaction.
func transact(t *testing.T, brokers []string, commit bool, ids ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if err := w.ProduceSync(ctx, &kgo.Record{Topic: testTopic, Value: []byte(record(id, epoch()))}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.EndTransaction(ctx, kgo.TransactionEndTry(commit)); err != nil {
		t.Fatal(err)
	}
}
