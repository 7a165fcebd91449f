package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/tidwall/wal"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
)

const (
	batch      = 1000 // records to one fsync
	batches    = 150  // to one round
	rounds     = 4
	recordSize = 2048
)

// log is something that takes a batch of records and returns once it is durable.
type log struct {
	name string
	open func(dir string) (put func(i int) error, end func() error, err error)
}

// appends measures the ledger beside other logs, and beside the floor that no log
// with its compression can go below, in the directory dir.
func appends(dir string) error {
	dir, err := os.MkdirTemp(dir, "appgovd-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := onDisk(dir); err != nil {
		return err
	}
	pool := records(16 * batch)
	short := make([][]byte, len(pool))
	for i, r := range pool {
		short[i] = slices.Repeat(r.text, 2)[:recordSize]
	}
	fmt.Printf("\nappend of %d bytes, one fsync per %d records, least of %d rounds of %d records in turn, %s\n", recordSize, batch, rounds, batch*batches, filepath.Dir(dir))
	took, err := inTurn(dir, []log{ledgerLog("appgovd, plain", bare(short), ledger.Options{Uncompressed: true}), ledgerLog("appgovd, zstd", bare(short), ledger.Options{}), pebbleLog(short), tidwallLog(short)})
	if err != nil {
		return err
	}
	missed := errors.Join(
		ratio("append, pebble / appgovd, neither compresses", took[2], took[0], bar{least: 3}),
		ratio("append, tidwall/wal / appgovd, neither compresses", took[3], took[0], bar{least: 2.5}))

	decoded, err := decodedOf(pool)
	if err != nil {
		return err
	}
	size := 0
	for i := range decoded {
		size += len(event.AppendEvent(nil, &decoded[i]))
	}
	fmt.Printf("\nappend of whole events, %d bytes each encoded, the rest as above; the floor compresses the same bytes, one write, one fdatasync\n", size/len(decoded))
	pages := make([][]event.Event, 0, len(decoded)/batch)
	for page := range slices.Chunk(decoded, batch) {
		pages = append(pages, page)
	}
	took, err = inTurn(dir, []log{ledgerLog("appgovd", pages, ledger.Options{}), floorLog(pages)})
	if err != nil {
		return err
	}
	return errors.Join(missed, ratio("append of whole events, floor / appgovd", took[1], took[0], bar{least: 0.6}), readBack(dir, pages))
}

// onDisk refuses a directory in memory, where an fsync costs nothing.
func onDisk(dir string) error {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return err
	}
	if s.Type == 0x01021994 {
		return errors.New(dir + " is on a tmpfs: name a directory on a disk, go run . ledger DIR")
	}
	return nil
}

// inTurn runs every log once a round, each in a new directory, and returns the
// least time for one record.
func inTurn(dir string, logs []log) ([]time.Duration, error) {
	took, busy := make([]time.Duration, len(logs)), make([]time.Duration, len(logs))
	for range rounds {
		for i, l := range logs {
			t, c, err := round(filepath.Join(dir, "log"), l)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", l.name, err)
			}
			took[i], busy[i] = least(took[i], t), least(busy[i], c)
		}
	}
	for i, l := range logs {
		fmt.Printf("%-22s %12v per record, %8.0f records a second, %v of CPU\n", l.name, took[i], 1e9/float64(took[i]), busy[i])
	}
	return took, nil
}

func least(a, b time.Duration) time.Duration {
	if a == 0 {
		return b
	}
	return min(a, b)
}

func round(dir string, l log) (took, busy time.Duration, err error) {
	put, end, err := l.open(dir)
	if err != nil {
		return 0, 0, err
	}
	syscall.Sync() // nothing of the round before
	runtime.GC()
	began, worked := time.Now(), cpu()
	for i := range batches {
		if err := put(i); err != nil {
			return 0, 0, errors.Join(err, end())
		}
	}
	took, busy = time.Since(began)/(batch*batches), (cpu()-worked)/(batch*batches)
	return took, busy, errors.Join(end(), os.RemoveAll(dir))
}

// bare is records that nothing is known of.
func bare(texts [][]byte) (pages [][]event.Event) {
	for page := range slices.Chunk(texts, batch) {
		events := make([]event.Event, 0, len(page))
		for _, t := range page {
			events = append(events, event.Event{Raw: t})
		}
		pages = append(pages, events)
	}
	return pages
}

func frame(pages [][]event.Event, i int) *event.Frame {
	return &event.Frame{Kind: event.FramePage, Source: "entra/contoso/sign_ins", Mark: []byte("mark"), Events: pages[i%len(pages)]}
}

func ledgerLog(name string, pages [][]event.Event, o ledger.Options) log {
	return log{name, func(dir string) (func(int) error, func() error, error) {
		l, err := ledger.Open(dir, o)
		if err != nil {
			return nil, nil, err
		}
		return func(i int) error {
			wait, err := l.Append(frame(pages, i))
			if err != nil {
				return err
			}
			return wait(context.Background())
		}, l.Close, nil
	}}
}

func pebbleLog(texts [][]byte) log {
	return log{"pebble v2", func(dir string) (func(int) error, func() error, error) {
		db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}})
		if err != nil {
			return nil, nil, err
		}
		return func(i int) error {
			b := db.NewBatch()
			for n := i * batch; n < (i+1)*batch; n++ {
				if err := b.Set(binary.BigEndian.AppendUint64(nil, uint64(n)), texts[n%len(texts)], nil); err != nil {
					return err
				}
			}
			return b.Commit(pebble.Sync)
		}, db.Close, nil
	}}
}

type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

func tidwallLog(texts [][]byte) log {
	return log{"tidwall/wal", func(dir string) (func(int) error, func() error, error) {
		w, err := wal.Open(dir, nil) // syncs every batch
		if err != nil {
			return nil, nil, err
		}
		return func(i int) error {
			var b wal.Batch
			for n := i * batch; n < (i+1)*batch; n++ {
				b.Write(uint64(n)+1, texts[n%len(texts)])
			}
			return w.WriteBatch(&b)
		}, w.Close, nil
	}}
}

// encoder compresses as the ledger does.
func encoder() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
}

func encoded(pages [][]event.Event) (out [][]byte) {
	for i := range pages {
		out = append(out, event.AppendFrame(nil, frame(pages, i)))
	}
	return out
}

// floorLog compresses what was encoded before, writes and syncs it.
func floorLog(pages [][]event.Event) log {
	bytes := encoded(pages)
	return log{"floor", func(name string) (func(int) error, func() error, error) {
		enc, err := encoder()
		if err != nil {
			return nil, nil, err
		}
		f, err := os.Create(name)
		if err != nil {
			return nil, nil, err
		}
		var buf []byte
		return func(i int) error {
			buf = enc.EncodeAll(bytes[i%len(bytes)], buf[:0])
			if _, err := f.Write(buf); err != nil {
				return err
			}
			return syscall.Fdatasync(int(f.Fd()))
		}, f.Close, nil
	}}
}

// readBack measures how fast frames come out of the ledger again, beside reading,
// checksum and decompression of the same payloads alone, from the page cache.
func readBack(dir string, pages [][]event.Event) error {
	l, err := ledger.Open(filepath.Join(dir, "read"), ledger.Options{})
	if err != nil {
		return err
	}
	for i := range batches {
		wait, err := l.Append(frame(pages, i))
		if err == nil {
			err = wait(context.Background())
		}
		if err != nil {
			return errors.Join(err, l.Close())
		}
	}
	plain, err := newFloorReader(filepath.Join(dir, "payloads"), encoded(pages))
	if err != nil {
		return errors.Join(err, l.Close())
	}
	var own, whole, floor []time.Duration
	for range rounds {
		took, readErr := timed(func() (int, error) { return briefs(l) })
		own = append(own, took)
		err = errors.Join(err, readErr)
		took, readErr = timed(func() (n int, err error) {
			err = l.Frames(1, func(f *event.Frame) error { n += len(f.Events); return nil })
			return n, err
		})
		whole = append(whole, took)
		err = errors.Join(err, readErr)
		began := time.Now()
		err = errors.Join(err, plain.run())
		floor = append(floor, time.Since(began)/(batch*batches))
	}
	if err = errors.Join(err, plain.f.Close(), l.Close()); err != nil {
		return err
	}
	a, b, c := slices.Min(own), slices.Min(whole), slices.Min(floor)
	fmt.Printf("\nread back, per record: every record with the fields that readers choose by %v; every event decoded whole %v; read, checksum and decompression alone %v\n", a, b, c)
	return errors.Join(
		ratio("reading back, floor / appgovd", c, a, bar{least: 0.5}),
		ratio("reading back with every event decoded, floor / appgovd", c, b, bar{}))
}

func timed(read func() (int, error)) (time.Duration, error) {
	runtime.GC()
	began := time.Now()
	n, err := read()
	took := time.Since(began) / (batch * batches)
	if err == nil && n != batch*batches {
		err = fmt.Errorf("%d records read back of %d", n, batch*batches)
	}
	return took, err
}

// briefs goes through every record of the ledger as a reader does that takes none.
func briefs(l *ledger.Ledger) (n int, err error) {
	var e event.Brief
	err = l.Packed(1, func(p *event.Packed) error {
		for i := range p.Events() {
			if err := p.Brief(i, &e); err != nil {
				return err
			}
			if e.Class != "" && !e.Time.IsZero() {
				n++
			}
		}
		return nil
	})
	return n, err
}

// floorReader reads payloads, and does nothing with them.
type floorReader struct {
	f     *os.File
	parts []piece
	dec   *zstd.Decoder
}

type piece struct {
	off, size int64
	raw       int
	sum       uint32
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func newFloorReader(name string, pages [][]byte) (*floorReader, error) {
	enc, err := encoder()
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	f, err := os.Create(name)
	r := &floorReader{f: f, dec: dec}
	var off int64
	for i := 0; i < batches && err == nil; i++ {
		raw := pages[i%len(pages)]
		b := enc.EncodeAll(raw, nil)
		r.parts = append(r.parts, piece{off, int64(len(b)), len(raw), crc32.Checksum(b, castagnoli)})
		_, err = f.Write(b)
		off += int64(len(b))
	}
	return r, err
}

func (r *floorReader) run() error {
	var b, raw []byte
	for _, p := range r.parts {
		b = slices.Grow(b[:0], int(p.size))[:p.size]
		if _, err := r.f.ReadAt(b, p.off); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if crc32.Checksum(b, castagnoli) != p.sum {
			return errors.New("a checksum differs")
		}
		var err error
		if raw, err = r.dec.DecodeAll(b, raw[:0]); err != nil || len(raw) != p.raw {
			return errors.Join(errors.New("a payload is not what was written"), err)
		}
	}
	return nil
}
