package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire asks the leader of a partition for messages, over a connection that the client
// opened and logged in. The client itself would inflate whatever a batch claims to be,
// and hand on what an aborted transaction wrote.
type wire struct {
	*kafka.Conn // for everything but fetching, in turn with it
	raw         net.Conn
	version     int16
	asked       int32 // requests
	buf         []byte
}

// Versions of the request: 10 knows zstd, 4 is the first with today's batches.
const (
	fetchNewest = 10
	fetchOldest = 4
)

// mostAnswered bounds one answer. A broker answers with more than was asked for where a
// single batch is larger.
const mostAnswered = 64 << 20

// dialWire connects to the leader of a partition. The caller closes it.
func (k *Kafka) dialWire(ctx context.Context, p partition) (*wire, error) {
	leader, err := k.leader(ctx, p)
	if err != nil {
		return nil, err
	}
	w := &wire{version: fetchOldest}
	dialer := *k.dialer
	dialer.TLS, dialer.DialFunc = nil, func(ctx context.Context, network, address string) (_ net.Conn, err error) {
		w.raw, err = k.connect(ctx, network, address)
		return w.raw, err
	}
	if w.Conn, err = dialer.DialPartition(ctx, "tcp", "", leader); err != nil {
		return nil, err
	}
	_ = w.SetDeadline(time.Now().Add(k.timeout))
	if err := w.choose(); err != nil {
		_ = w.Close()
		return nil, err
	}
	return w, nil
}

// connect opens a connection, with TLS where that is configured.
func (k *Kafka) connect(ctx context.Context, network, address string) (net.Conn, error) {
	dial := k.dialer.DialFunc
	if dial == nil {
		dial = (&net.Dialer{KeepAlive: k.dialer.KeepAlive}).DialContext
	}
	raw, err := dial(ctx, network, address)
	if err != nil || k.dialer.TLS == nil {
		return raw, err
	}
	return shaken(ctx, raw, k.dialer.TLS, address)
}

// shaken is raw with TLS; where that fails, raw is closed.
func shaken(ctx context.Context, raw net.Conn, conf *tls.Config, address string) (net.Conn, error) {
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(address)
	}
	conn := tls.Client(raw, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	return conn, nil
}

// choose takes the newest version of the request that the broker has.
func (w *wire) choose() error {
	all, err := w.ApiVersions()
	if err != nil {
		return fmt.Errorf("ask for its versions: %w", err)
	}
	for _, v := range all {
		if kmsg.Key(v.ApiKey) == kmsg.Fetch {
			w.version = min(fetchNewest, v.MaxVersion)
		}
	}
	if w.version < fetchOldest {
		return fmt.Errorf("the broker is older than Kafka 0.11: it fetches by version %d", w.version)
	}
	return nil
}

// ask is what the partition has from an offset on, some most bytes of it, which is good
// until the next time; after wait it may be nothing.
func (w *wire) ask(p partition, at int64, most int, wait, timeout time.Duration) (*kmsg.FetchResponseTopicPartition, error) {
	if err := w.raw.SetDeadline(time.Now().Add(timeout + wait)); err != nil {
		return nil, err
	}
	if _, err := w.raw.Write(w.request(p, at, most, wait)); err != nil {
		return nil, fmt.Errorf("ask for messages: %w", err)
	}
	body, err := w.answer(most)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	r := kmsg.NewPtrFetchResponse()
	if r.SetVersion(w.version); r.ReadFrom(body) != nil || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 1 {
		return nil, codeOr(r.ErrorCode, "read messages: the answer cannot be read")
	}
	got := &r.Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		return nil, fmt.Errorf("read messages: %w", kafka.Error(got.ErrorCode))
	}
	return got, nil
}

func codeOr(code int16, text string) error {
	if code != 0 {
		return fmt.Errorf("read messages: %w", kafka.Error(code))
	}
	return fmt.Errorf("%s", text)
}

// request is the request with its header.
func (w *wire) request(p partition, at int64, most int, wait time.Duration) []byte {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(w.version)
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.IsolationLevel = int32(wait.Milliseconds()), 1, int32(most), 1 // what was committed
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = int32(p.id), at, int32(most)
	rt.Topic, rt.Partitions = p.topic, append(rt.Partitions, rp)
	r.Topics = append(r.Topics, rt)
	w.asked++
	b := binary.BigEndian.AppendUint16(make([]byte, 4, 256), uint16(kmsg.Fetch))
	b = binary.BigEndian.AppendUint16(b, uint16(w.version))
	b = binary.BigEndian.AppendUint32(b, uint32(w.asked))
	const client = "appgovd"
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(client))), client...)
	b = r.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// answer reads the answer to the last request, without its header.
func (w *wire) answer(most int) ([]byte, error) {
	var head [8]byte
	if _, err := io.ReadFull(w.raw, head[:]); err != nil {
		return nil, err
	}
	n, id := int64(binary.BigEndian.Uint32(head[:]))-4, int32(binary.BigEndian.Uint32(head[4:]))
	if n < 0 || id != w.asked {
		return nil, fmt.Errorf("the answer is to request %d, not to %d", id, w.asked)
	}
	if n > mostAnswered {
		return nil, fmt.Errorf("the answer has %d bytes, more than %d: the topic's max.message.bytes is too high", n, mostAnswered)
	}
	if cap(w.buf) > 2*most {
		w.buf = nil // a batch that was larger than asked for
	}
	w.buf = slices.Grow(w.buf[:0], int(n))[:n]
	_, err := io.ReadFull(w.raw, w.buf)
	return w.buf, err
}
