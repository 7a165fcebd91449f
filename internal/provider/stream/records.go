package stream

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/segmentio/kafka-go/compress"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// batch is a batch of records as a partition stores it.
// https://kafka.apache.org/documentation/#recordbatch
type batch struct {
	first, last      int64 // offsets
	old              bool  // of the format before Kafka 0.11, which is not read
	control          bool  // it holds the end of a transaction
	transactional    bool
	appended         bool // all have the broker's time
	codec            compress.Compression
	firstTime, atEnd int64 // in milliseconds
	producer         int64
	count            int32
	packed           []byte // its records, as the producer packed them
}

// Bounds of what is packed: a batch that says that it is larger, or that would need more
// memory, is not unpacked to its end.
const (
	mostUnpacked = 256 << 20
	mostWindow   = 8 << 20 // of zstd, which its specification asks every reader to have
	mostBlock    = 64 << 20
)

const (
	batchPrefix = 12 // first offset, length
	batchHead   = 61
)

// nextBatch is the first batch of what a broker sent, and what stands behind; none where
// the last one was cut off.
func nextBatch(b []byte) (_ *batch, rest []byte, err error) {
	if len(b) < batchPrefix {
		return nil, nil, nil
	}
	length := int64(int32(binary.BigEndian.Uint32(b[8:])))
	if length < 14-batchPrefix+4 || length > mostAnswered {
		return nil, nil, fmt.Errorf("a batch of %d bytes", length)
	}
	if int64(len(b)) < batchPrefix+length {
		return nil, nil, nil
	}
	b, rest = b[:batchPrefix+length], b[batchPrefix+length:]
	x := &batch{first: int64(binary.BigEndian.Uint64(b))}
	if magic := b[16]; magic < 2 {
		x.last, x.old = x.first, true
		return x, rest, nil
	}
	if len(b) < batchHead {
		return nil, nil, fmt.Errorf("a batch of %d bytes", len(b))
	}
	if crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(b[17:]) {
		return nil, nil, fmt.Errorf("the checksum of the batch at offset %d is wrong", x.first)
	}
	x.head(b)
	return x, rest, nil
}

func (b *batch) head(head []byte) {
	attributes := binary.BigEndian.Uint16(head[21:])
	b.codec = compress.Compression(attributes & 7)
	b.appended, b.transactional, b.control = attributes&8 != 0, attributes&16 != 0, attributes&32 != 0
	b.last = b.first + int64(int32(binary.BigEndian.Uint32(head[23:])))
	b.firstTime, b.atEnd = int64(binary.BigEndian.Uint64(head[27:])), int64(binary.BigEndian.Uint64(head[35:]))
	b.producer = int64(binary.BigEndian.Uint64(head[43:]))
	b.count = int32(binary.BigEndian.Uint32(head[57:]))
	b.packed = head[batchHead:]
}

// transactions knows which batches of an answer belong to a transaction that was aborted.
type transactions struct {
	aborted []kmsg.FetchResponseTopicPartitionAbortedTransaction
	gone    map[int64]bool // producers whose transaction at hand is
}

func newTransactions(r *kmsg.FetchResponseTopicPartition) *transactions {
	t := &transactions{aborted: r.AbortedTransactions, gone: map[int64]bool{}}
	slices.SortFunc(t.aborted, func(a, b kmsg.FetchResponseTopicPartitionAbortedTransaction) int {
		return cmp.Compare(a.FirstOffset, b.FirstOffset)
	})
	return t
}

// passes reports whether the next batch holds nothing that counts.
func (t *transactions) passes(b *batch) bool {
	for len(t.aborted) > 0 && t.aborted[0].FirstOffset <= b.last {
		t.gone[t.aborted[0].ProducerID] = true
		t.aborted = t.aborted[1:]
	}
	if b.control { // the one that ends it
		delete(t.gone, b.producer)
		return true
	}
	return b.transactional && t.gone[b.producer]
}

// message is one record of a batch. Value is good until the next one; of one that is
// longer than wanted it is the beginning.
type message struct {
	offset int64
	time   time.Time
	value  []byte
	size   int64
}

// unpacker unpacks batches, one after the other.
type unpacker struct {
	zstd *zstd.Decoder
	in   *bufio.Reader
	m    message
}

// each hands on the records of b one after the other, of a value that is longer than
// most the first maxQuarantined bytes, until do says no. With an error what stands behind
// the last record that was handed on can never be read.
func (u *unpacker) each(b *batch, most int, do func(*message) bool) error {
	if b.old {
		return errors.New("of the format before Kafka 0.11")
	}
	r, err := u.open(b)
	if err != nil {
		return fmt.Errorf("unreadable: %w", err)
	}
	defer func() { _ = r.Close() }()
	bound := &io.LimitedReader{R: r, N: mostUnpacked}
	if u.in == nil {
		u.in = bufio.NewReaderSize(nil, 32<<10)
	}
	u.in.Reset(bound)
	f := &fields{r: u.in}
	for range b.count {
		err := b.read(f, most, &u.m)
		switch {
		case err != nil && bound.N <= 0:
			return fmt.Errorf("too large: it unpacks to more than %d bytes", mostUnpacked)
		case err != nil:
			return fmt.Errorf("unreadable: %w", err)
		case !do(&u.m):
			return nil
		}
	}
	return nil
}

// open reads what the producer packed, with bounded memory.
func (u *unpacker) open(b *batch) (_ io.ReadCloser, err error) {
	packed := bytes.NewReader(b.packed)
	switch b.codec {
	case compress.None:
		return io.NopCloser(packed), nil
	case compress.Snappy:
		return io.NopCloser(&snappyReader{packed: b.packed}), nil
	case compress.Zstd:
		if u.zstd == nil {
			u.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(mostWindow))
		}
		if err == nil {
			err = u.zstd.Reset(packed)
		}
		return io.NopCloser(u.zstd), err
	case compress.Gzip, compress.Lz4:
		return b.codec.Codec().NewReader(packed), nil
	}
	return nil, fmt.Errorf("compression %d is not known", b.codec)
}

// read takes the next record.
func (b *batch) read(f *fields, most int, m *message) error {
	f.left = binary.MaxVarintLen64
	f.left = f.varint()
	f.skip(1) // attributes
	at := b.firstTime + f.varint()
	if b.appended {
		at = b.atEnd
	}
	m.offset, m.time = b.first+f.varint(), time.UnixMilli(at).UTC()
	f.skip(max(f.varint(), 0)) // key
	m.size = max(f.varint(), 0)
	keep := m.size
	if m.size > int64(most) {
		keep = min(m.size, maxQuarantined)
	}
	m.value = f.bytes(m.value, keep)
	f.skip(f.left) // headers too
	return f.err
}

// fields reads the fields of one record, of which so many bytes are left.
type fields struct {
	r    *bufio.Reader
	left int64
	err  error
}

func (f *fields) ReadByte() (byte, error) {
	if f.left--; f.left < 0 {
		return 0, errors.New("a record is shorter than its fields")
	}
	return f.r.ReadByte()
}

func (f *fields) varint() int64 {
	if f.err != nil {
		return 0
	}
	n, err := binary.ReadVarint(f)
	f.err = err
	return n
}

func (f *fields) take(n int64) bool {
	if f.err == nil && (n < 0 || n > f.left) {
		f.err = errors.New("a record is shorter than its fields")
	}
	f.left -= n
	return f.err == nil
}

func (f *fields) skip(n int64) {
	if f.take(n) {
		_, f.err = io.CopyN(io.Discard, f.r, n)
	}
}

// bytes reads n bytes into b, which grows with what is there, not with what is claimed.
func (f *fields) bytes(b []byte, n int64) []byte {
	b = b[:0]
	for n > 0 {
		part := min(n, 1<<20)
		if !f.take(part) {
			break
		}
		m := len(b)
		b = slices.Grow(b, int(part))[:m+int(part)]
		_, f.err = io.ReadFull(f.r, b[m:])
		n -= part
	}
	return b
}

// snappyReader reads one block, or the blocks of a stream as Kafka's own producers write
// it: a header of 16 bytes, and the length of each block before it.
type snappyReader struct {
	packed []byte
	begun  bool
	framed bool
	text   []byte // that was unpacked and not read yet
	buf    []byte
}

func (s *snappyReader) Read(p []byte) (int, error) {
	for len(s.text) == 0 {
		block, err := s.block()
		if err != nil {
			return 0, err
		}
		n, err := snappy.DecodedLen(block)
		if err != nil {
			return 0, err
		}
		if n > mostBlock || n > 64*len(block) { // a copy of 64 bytes takes two or more
			return 0, fmt.Errorf("snappy: a block of %d bytes claims to be of %d", len(block), n)
		}
		if s.buf, err = snappy.Decode(s.buf[:cap(s.buf)], block); err != nil {
			return 0, err
		}
		s.text = s.buf
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}

func (s *snappyReader) block() ([]byte, error) {
	if !s.begun {
		s.begun, s.framed = true, len(s.packed) > 16 && bytes.HasPrefix(s.packed, []byte("\x82SNAPPY\x00"))
		if s.framed {
			s.packed = s.packed[16:]
		}
	}
	if len(s.packed) == 0 {
		return nil, io.EOF
	}
	n := len(s.packed)
	if s.framed {
		if n < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		length := int64(binary.BigEndian.Uint32(s.packed))
		if s.packed = s.packed[4:]; length > int64(len(s.packed)) {
			return nil, io.ErrUnexpectedEOF
		}
		n = int(length)
	}
	block := s.packed[:n]
	s.packed = s.packed[n:]
	return block, nil
}
