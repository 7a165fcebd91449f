package kafka

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"strconv"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/event"
)

// recordBatch is a batch of records as it lies in Kafka's log, version 2. It is written
// here and not by the client, which writes each field by itself into the compressor.
// https://kafka.apache.org/documentation/#recordbatch
type recordBatch struct {
	records []byte // not compressed
	count   int

	key, head, value []byte // of the record that is being written
	whole            []byte // length, header and records, compressed
}

// batchHeader is how many bytes stand before the records.
const batchHeader = 61

// Where the fields of the header stand that are not constant.
const (
	atLength     = 8
	atEpoch      = 12
	atMagic      = 16
	atCRC        = 17
	atAttributes = 21
	atLast       = 23
	atFirstTime  = 27
	atMaxTime    = 35
	atProducer   = 43
	atCount      = 57
)

func (b *recordBatch) reset() { b.records, b.count = b.records[:0], 0 }

// size is how large the batch is before it is compressed.
func (b *recordBatch) size() int { return batchHeader + len(b.records) }

// add appends the record whose key, headers and value were written.
func (b *recordBatch) add() {
	var place [binary.MaxVarintLen64]byte
	at := place[:binary.PutVarint(place[:], int64(b.count))]
	length := 1 + 1 + len(at) + varintLen(len(b.key)) + len(b.key) + varintLen(len(b.value)) + len(b.value) + len(b.head)
	r := binary.AppendVarint(b.records, int64(length))
	r = append(r, 0, 0) // no attributes; the time of the batch
	r = append(r, at...)
	r = append(binary.AppendVarint(r, int64(len(b.key))), b.key...)
	r = append(binary.AppendVarint(r, int64(len(b.value))), b.value...)
	b.records = append(r, b.head...)
	b.count++
}

func varintLen(n int) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutVarint(b[:], int64(n))
}

// header appends a header whose value has several parts.
func (b *recordBatch) header(key string, parts ...string) {
	n := 0
	for _, s := range parts {
		n += len(s)
	}
	h := append(binary.AppendVarint(b.head, int64(len(key))), key...)
	h = binary.AppendVarint(h, int64(n))
	for _, s := range parts {
		h = append(h, s...)
	}
	b.head = h
}

// write writes key, headers and value of a, in CloudEvents' binary mode.
// https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
func (s *Sink) write(b *recordBatch, a *event.Alert) {
	key, delivery := a.App.Key(), a.DeliveryID.String()
	b.key = appendKey(b.key[:0], a.Tenant, key)
	count := 9
	if !a.Time.IsZero() {
		count++
	}
	if key != "" {
		count++
	}
	b.head = binary.AppendVarint(b.head[:0], int64(count))
	b.header("ce_specversion", "1.0")
	b.header("ce_id", delivery)
	b.header("ce_source", "/appgovd/", a.Provider, "/", a.Tenant)
	id := "event_id"
	if a.Event != nil {
		b.header("ce_type", "appgovd.event")
	} else {
		b.header("ce_type", "appgovd.alert.", string(a.State))
		id = "alert_id"
	}
	b.header("content-type", s.content)
	b.header("detection_source", event.DetectionSource)
	b.header(id, a.ID.String())
	b.header("delivery_id", delivery)
	b.header("sequence", strconv.FormatUint(uint64(a.Sequence), 10))
	if !a.Time.IsZero() {
		b.header("ce_time", a.Time.UTC().Format(time.RFC3339Nano))
	}
	if key != "" {
		b.header("ce_subject", key)
	}
	b.value = s.encode(b.value[:0], a)
}

// appendKey is the key of a record, which is the same for all that is about an app.
func appendKey(b []byte, tenant, app string) []byte {
	return append(append(append(b, tenant...), '/'), app...)
}

// seal compresses the records and returns the whole batch with its length before it, as a
// request has it. It is good until the next call.
func (b *recordBatch) seal(c *compressor, now time.Time) ([]byte, error) {
	const prefix = 4
	all, err := c.append(append(b.whole[:0], make([]byte, prefix+batchHeader)...), b.records)
	b.whole = all
	if err != nil {
		return nil, err
	}
	ms := uint64(now.UnixMilli())
	put, w := binary.BigEndian, all[prefix:]
	put.PutUint32(all, uint32(len(w)))
	put.PutUint32(w[atLength:], uint32(len(w)-atEpoch))
	put.PutUint32(w[atEpoch:], 1<<32-1) // -1: it is not known
	w[atMagic] = 2
	put.PutUint16(w[atAttributes:], uint16(c.codec))
	put.PutUint32(w[atLast:], uint32(b.count-1))
	put.PutUint64(w[atFirstTime:], ms)
	put.PutUint64(w[atMaxTime:], ms)
	for i := atProducer; i < atCount; i++ { // -1: no producer that Kafka knows
		w[i] = 0xff
	}
	put.PutUint32(w[atCount:], uint32(b.count))
	put.PutUint32(w[atCRC:], crc32.Checksum(w[atAttributes:], c.castagnoli))
	return all, nil
}

// compressor is safe for concurrent use.
type compressor struct {
	codec      kafka.Compression
	zstd       *zstd.Encoder // nil for the other codecs
	castagnoli *crc32.Table
}

// window is how far back zstd looks: as much as most batches have.
const window = 1 << 20

// newCompressor prepares a codec. Of zstd the fastest level is taken, and no checksum of
// its own: a batch has one.
func newCompressor(codec kafka.Compression) (*compressor, error) {
	c := &compressor{codec: codec, castagnoli: crc32.MakeTable(crc32.Castagnoli)}
	if codec != kafka.Zstd {
		return c, nil
	}
	var err error
	c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, fmt.Errorf("prepare zstd: %w", err)
	}
	return c, nil
}

func (c *compressor) append(dst, records []byte) ([]byte, error) {
	switch {
	case c.codec == 0:
		return append(dst, records...), nil
	case c.zstd != nil:
		return c.zstd.EncodeAll(records, dst), nil
	}
	out := bytes.NewBuffer(dst)
	w := c.codec.Codec().NewWriter(out)
	if _, err := w.Write(records); err != nil {
		return dst, fmt.Errorf("compress records: %w", err)
	}
	if err := w.Close(); err != nil {
		return dst, fmt.Errorf("compress records: %w", err)
	}
	return out.Bytes(), nil
}
