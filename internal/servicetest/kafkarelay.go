package servicetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/produce"
)

// Fate is what becomes of a request to write records.
type Fate uint8

// Fates of a request.
const (
	Pass   Fate = iota // the broker gets it, the client its answer
	Lose               // the broker gets it and answers; the connection breaks before the client has the answer
	Refuse             // the broker does not get it; the client is told that too few replicas are in sync
)

// Written is a request to write records to one partition.
type Written struct {
	Topic     string
	Partition int
	Keys      []string // of the records
}

// Interpose puts a relay in front of the broker until the test ends: it listens at Interposed. fate is asked about each
// request to write records, by any goroutine; all else passes. It is for clients that have one request in flight on a
// connection and one partition in a request, as kafka-go's have.
func (k *KafkaServer) Interpose(t testing.TB, fate func(Written) Fate) {
	t.Helper()
	l, err := net.Listen("tcp", k.Interposed)
	if err != nil {
		t.Fatalf("listen for the broker's clients: %v", err)
	}
	r := &kafkaRelay{broker: k.relayed, fate: fate, open: map[net.Conn]bool{}}
	r.running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed
			}
			r.running.Go(func() { r.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		r.end()
	})
}

type kafkaRelay struct {
	broker  string
	fate    func(Written) Fate
	running sync.WaitGroup

	mu    sync.Mutex
	open  map[net.Conn]bool
	ended bool
}

// keep notes a connection that end closes; false where it is too late.
func (r *kafkaRelay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c] = true
	return !r.ended
}

func (r *kafkaRelay) close(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, c)
	_ = c.Close()
}

func (r *kafkaRelay) end() {
	r.mu.Lock()
	r.ended = true
	for c := range r.open {
		_ = c.Close()
	}
	r.mu.Unlock()
	r.running.Wait()
}

// serve carries requests and answers in turn, until one side has gone or an answer is lost.
func (r *kafkaRelay) serve(client net.Conn) {
	defer r.close(client)
	broker, err := net.Dial("tcp", r.broker)
	if err != nil {
		return
	}
	defer r.close(broker)
	if !r.keep(client) || !r.keep(broker) {
		return
	}
	for {
		request, err := readFrame(client)
		if err != nil {
			return
		}
		fate, refusal := r.judge(request)
		if fate == Refuse {
			if _, err := client.Write(refusal); err != nil {
				return
			}
			continue
		}
		if _, err := broker.Write(request); err != nil {
			return
		}
		answer, err := readFrame(broker)
		if err != nil || fate == Lose {
			return
		}
		if _, err := client.Write(answer); err != nil {
			return
		}
	}
}

// judge asks about a request; where it is refused, the answer comes along. A client that this relay is not made for finds
// no answer.
func (r *kafkaRelay) judge(frame []byte) (Fate, []byte) {
	if protocol.ApiKey(binary.BigEndian.Uint16(frame[4:])) != protocol.Produce {
		return Pass, nil
	}
	version, id, _, message, err := protocol.ReadRequest(bytes.NewReader(frame))
	request, ok := message.(*produce.Request)
	if err != nil || !ok || len(request.Topics) != 1 || len(request.Topics[0].Partitions) != 1 {
		return Lose, nil
	}
	w, err := writtenBy(request.Topics[0])
	if err != nil {
		return Lose, nil
	}
	fate := r.fate(w)
	if fate != Refuse {
		return fate, nil
	}
	refused := produce.ResponsePartition{Partition: int32(w.Partition), ErrorCode: int16(kafka.NotEnoughReplicas), BaseOffset: -1}
	var b bytes.Buffer
	if err := protocol.WriteResponse(&b, version, id, &produce.Response{Topics: []produce.ResponseTopic{{Topic: w.Topic, Partitions: []produce.ResponsePartition{refused}}}}); err != nil {
		return Lose, nil
	}
	return Refuse, b.Bytes()
}

func writtenBy(t produce.RequestTopic) (Written, error) {
	w := Written{Topic: t.Topic, Partition: int(t.Partitions[0].Partition)}
	for {
		record, err := t.Partitions[0].RecordSet.Records.ReadRecord()
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return w, fmt.Errorf("read record: %w", err)
		}
		key, err := protocol.ReadAll(record.Key)
		if err != nil {
			return w, fmt.Errorf("read key: %w", err)
		}
		w.Keys = append(w.Keys, string(key))
	}
}

// readFrame reads one request or answer with the four bytes of its size.
func readFrame(from io.Reader) ([]byte, error) {
	const least, most = 8, 128 << 20
	var size [4]byte
	if _, err := io.ReadFull(from, size[:]); err != nil {
		return nil, fmt.Errorf("read size: %w", err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > most || n < least-4 {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, 4+n)
	copy(frame, size[:])
	if _, err := io.ReadFull(from, frame[4:]); err != nil {
		return nil, fmt.Errorf("read frame: %w", err)
	}
	return frame, nil
}
