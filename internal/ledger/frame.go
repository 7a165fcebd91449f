package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/appgovd/appgovd/internal/event"
)

// The header of a frame; docs/format.md describes every byte. Its checksum is
// separate from the payload's, so that a rotten payload does not lose framing.
const (
	headerBytes = 48
	frameMagic  = 0x52464741 // "AGFR" little endian
	footerMagic = 0x54464741 // "AGFT": the last record of a closed segment
	version     = 2

	flagZstd = 1 << 0
	flagMore = 1 << 1 // another part of the same frame follows
	flagPart = 1 << 2 // a part of the same frame stands before

	compressFrom = 512 // smaller payloads stay as they are
)

type header struct {
	magic     uint32
	flags     uint8
	kind      uint8
	lsn       uint64
	length    uint32 // of the payload
	payload   uint32 // crc32c of the payload
	previous  uint32 // header checksum of the frame before: a chain
	alertBase uint64
	alerts    uint32 // in a footer: unix time of the last frame
	rawLength uint32 // of the payload before compression; in a footer: number of frames
	sum       uint32 // crc32c of the header's other bytes, with the directory's seed
}

// format is how the frames of a segment are written. The seed is the
// directory's own: bytes that look like a frame, within a payload or from
// another directory, are none. Version 1 had no seed.
type format struct {
	version uint8
	seed    uint32
}

func castagnoli(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func (h *header) append(dst []byte, seed uint32) []byte {
	start := len(dst)
	le := binary.LittleEndian
	dst = le.AppendUint32(dst, h.magic)
	dst = append(dst, version, h.flags, h.kind, 0)
	dst = le.AppendUint64(dst, h.lsn)
	dst = le.AppendUint32(dst, h.length)
	dst = le.AppendUint32(dst, h.payload)
	dst = le.AppendUint32(dst, h.previous)
	dst = le.AppendUint64(dst, h.alertBase)
	dst = le.AppendUint32(dst, h.alerts)
	dst = le.AppendUint32(dst, h.rawLength)
	h.sum = castagnoli(dst[start:]) ^ seed
	return le.AppendUint32(dst, h.sum)
}

var (
	errHeader = errors.New("invalid frame header")
	errLater  = errors.New("frame of a later release")
)

func parseHeader(b []byte, f format) (header, error) {
	le := binary.LittleEndian
	if len(b) < headerBytes {
		return header{}, errHeader
	}
	h := header{
		magic: le.Uint32(b), flags: b[5], kind: b[6], lsn: le.Uint64(b[8:]), length: le.Uint32(b[16:]),
		payload: le.Uint32(b[20:]), previous: le.Uint32(b[24:]), alertBase: le.Uint64(b[28:]), alerts: le.Uint32(b[36:]),
		rawLength: le.Uint32(b[40:]), sum: le.Uint32(b[44:]),
	}
	if (h.magic != frameMagic && h.magic != footerMagic) || h.sum != castagnoli(b[:headerBytes-4])^f.seed {
		return header{}, errHeader
	}
	if b[4] > version {
		return header{}, errLater
	}
	if b[4] != f.version {
		return header{}, errHeader
	}
	return h, nil
}

// codec compresses and decompresses payloads. It is safe for concurrent use.
type codec struct {
	enc     *zstd.Encoder
	streams sync.Pool // of encoders for what is compressed as it is written
	dec     *zstd.Decoder
	max     int
	plain   bool      // payloads are written as they are
	rooms   sync.Pool // of buffers for them
	frames  sync.Pool // of frames that were read

	seed uint32 // of the directory
}

func encoderOptions() []zstd.EOption {
	return []zstd.EOption{zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1 << 20)}
}

func newCodec(maxFrame int, plain bool) (*codec, error) {
	enc, err := zstd.NewWriter(nil, encoderOptions()...)
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(maxFrame)+1<<20))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec, max: maxFrame, plain: plain}, nil
}

// tooLargeError is a frame above the limit.
type tooLargeError struct {
	bytes uint64
	most  int
}

func (e *tooLargeError) Error() string {
	return fmt.Sprintf("%d bytes, at most %d", e.bytes, e.most)
}

// encode returns header and payload of f as they go to disk.
func (c *codec) encode(f *event.Frame, part uint8, previous uint32) ([]byte, header, error) {
	buf, raw, flags, err := c.pack(f)
	if err == nil && raw > uint64(c.max) {
		err = &tooLargeError{raw, c.max}
	}
	if err != nil {
		return nil, header{}, err
	}
	h := header{
		magic: frameMagic, flags: flags | part, kind: uint8(f.Kind), lsn: f.LSN, previous: previous,
		alertBase: f.AlertBase, alerts: uint32(len(f.Alerts)), rawLength: uint32(raw), length: uint32(len(buf) - headerBytes),
	}
	h.payload = castagnoli(buf[headerBytes:])
	h.append(buf[:0], c.seed)
	return buf, h, nil
}

// pack leaves room for the header and appends the payload, compressed from
// compressFrom bytes on unless the codec is plain; raw is its length before. A large frame is compressed
// as it is encoded.
func (c *codec) pack(f *event.Frame) (buf []byte, raw uint64, flags uint8, err error) {
	if c.plain {
		buf = event.AppendFrame(c.room(headerBytes+f.Roughly()), f)
		return buf, uint64(len(buf) - headerBytes), 0, nil
	}
	if f.Roughly() > largeFrame {
		out := bytes.NewBuffer(make([]byte, headerBytes, f.Roughly()/8))
		raw, err = c.compress(out, func(w io.Writer) error { return event.WriteFrame(w, f) })
		return out.Bytes(), raw, flagZstd, err
	}
	b := event.AppendFrame(nil, f)
	buf = make([]byte, headerBytes, headerBytes+len(b)/2+64)
	if len(b) >= compressFrom {
		return c.enc.EncodeAll(b, buf), uint64(len(b)), flagZstd, nil
	}
	return append(buf, b...), uint64(len(b)), 0, nil
}

// room has space for n bytes, those of the header taken.
func (c *codec) room(n int) []byte {
	if b, ok := c.rooms.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:headerBytes]
	}
	return make([]byte, headerBytes, n)
}

// free gives the bytes of a frame back that is settled.
func (c *codec) free(b []byte) {
	if c.plain && cap(b) <= 16*largeFrame {
		c.rooms.Put(&b)
	}
}

// largeFrame is from where on a frame is not held in memory as a whole.
const largeFrame = 1 << 20

// compress writes what write writes to out, compressed, and counts it.
func (c *codec) compress(out io.Writer, write func(io.Writer) error) (raw uint64, err error) {
	z, ok := c.streams.Get().(*zstd.Encoder)
	if !ok {
		if z, err = zstd.NewWriter(nil, append(encoderOptions(), zstd.WithEncoderConcurrency(2))...); err != nil {
			return 0, err
		}
	}
	z.Reset(out)
	n := &counted{w: z}
	err = errors.Join(write(n), z.Close())
	z.Reset(nil)
	c.streams.Put(z)
	return n.n, err
}

// rottenError is a payload that was read and is none: that frame is lost, its
// neighbours are not.
type rottenError struct{ err error }

func (e *rottenError) Error() string { return e.err.Error() }
func (e *rottenError) Unwrap() error { return e.err }

func isRotten(err error) bool {
	var r *rottenError
	return errors.As(err, &r)
}

// unpack checks a payload and decompresses it, where it is compressed into room.
func (c *codec) unpack(h header, payload []byte, room *[]byte) ([]byte, error) {
	if castagnoli(payload) != h.payload {
		return nil, &rottenError{fmt.Errorf("frame %d: payload checksum differs", h.lsn)}
	}
	if int64(h.rawLength) > int64(c.max) {
		return nil, &rottenError{fmt.Errorf("frame %d: %d bytes, at most %d", h.lsn, h.rawLength, c.max)}
	}
	if h.flags&flagZstd == 0 {
		return payload, nil
	}
	raw, err := c.dec.DecodeAll(payload, slices.Grow((*room)[:0], int(h.rawLength)))
	if err != nil {
		return nil, &rottenError{fmt.Errorf("frame %d: decompress: %w", h.lsn, err)}
	}
	*room = raw
	return raw, nil
}
