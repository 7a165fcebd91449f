package ledger

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot file: magic, version, lsn, number of alerts, length, crc32c of the
// rest; then zstd of {marks, accounts, state of the caller}.
const (
	snapMagic = 0x4e534741 // "AGSN"
	snapHead  = 36
	keepSnaps = 2
	snapPiece = 256 << 10 // what is written or read at once
)

func snapName(lsn uint64) string { return fmt.Sprintf("%016x.snap", lsn) }

func parseSnapName(name string) (uint64, bool) {
	var lsn uint64
	n, err := fmt.Sscanf(name, "%016x.snap", &lsn)
	return lsn, err == nil && n == 1 && name == snapName(lsn)
}

// counted counts what goes through it.
type counted struct {
	w io.Writer
	r io.Reader
	n uint64
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += uint64(n)
	return n, err
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += uint64(n)
	return n, err
}

// storeSnapshot writes the file of a snapshot, piece by piece: neither the state nor
// the file is ever held as a whole.
func (l *Ledger) storeSnapshot(lsn, alerts uint64, inner []byte, write func(io.Writer) error) error {
	tmp := l.path("snapshots", "new.tmp")
	_ = l.o.FS.Remove(tmp)
	f, err := l.o.FS.Open(tmp, true)
	if err != nil {
		return err
	}
	err = l.codec.writeSnapshot(f, lsn, alerts, func(w io.Writer) error {
		if _, err := w.Write(inner); err != nil {
			return err
		}
		return write(w)
	})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		_ = l.o.FS.Remove(tmp) // others need the room more
		return err
	}
	crashPoint("snapshot_written")
	if err := l.o.FS.Rename(tmp, l.path("snapshots", snapName(lsn))); err != nil {
		return err
	}
	crashPoint("snapshot_renamed")
	return l.o.FS.SyncDir(l.path("snapshots"))
}

// writeSnapshot fills f: the body first, whose length and checksum stand before it.
func (c *codec) writeSnapshot(f File, lsn, alerts uint64, write func(io.Writer) error) error {
	body := &counted{w: io.NewOffsetWriter(f, snapHead)}
	out := bufio.NewWriterSize(body, snapPiece)
	raw, err := c.compress(out, write)
	if err = errors.Join(err, out.Flush()); err != nil {
		return err
	}
	head := make([]byte, snapHead)
	le := binary.LittleEndian
	le.PutUint32(head, snapMagic)
	le.PutUint32(head[4:], version)
	le.PutUint64(head[12:], lsn)
	le.PutUint64(head[20:], alerts)
	le.PutUint64(head[28:], raw)
	sum, err := snapSum(f, head, snapHead+int64(body.n))
	if err != nil {
		return err
	}
	le.PutUint32(head[8:], sum)
	_, err = f.WriteAt(head, 0)
	return err
}

// snapSum is the checksum of a snapshot of size bytes: of the head behind its place,
// and of the body in f.
func snapSum(f File, head []byte, size int64) (uint32, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = sum.Write(head[12:]) // a hash never refuses
	n, err := io.CopyBuffer(struct{ io.Writer }{sum}, io.NewSectionReader(f, snapHead, size-snapHead), make([]byte, snapPiece))
	if err == nil && n != size-snapHead {
		err = io.ErrUnexpectedEOF
	}
	return sum.Sum32(), err
}

// snapshot is the file of one, found whole.
type snapshot struct {
	f              File
	size           int64
	alerts, length uint64
}

// body is what is compressed.
func (s *snapshot) body() io.Reader { return io.NewSectionReader(s.f, snapHead, s.size-snapHead) }

// openSnapshot opens a snapshot and compares its checksum. Who gets it closes its
// file.
func (l *Ledger) openSnapshot(lsn uint64) (*snapshot, error) {
	f, err := l.o.FS.Open(l.path("snapshots", snapName(lsn)), false)
	if err != nil {
		return nil, err
	}
	s := &snapshot{f: f}
	if err := s.check(lsn); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

func (s *snapshot) check(lsn uint64) (err error) {
	if s.size, err = s.f.Size(); err != nil {
		return err
	}
	head := make([]byte, snapHead)
	if _, err := s.f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	le := binary.LittleEndian
	if s.size < snapHead || le.Uint32(head) != snapMagic || le.Uint32(head[4:]) == 0 || le.Uint32(head[4:]) > version {
		return errors.New("no snapshot of this version")
	}
	sum, err := snapSum(s.f, head, s.size)
	if err != nil {
		return err
	}
	if le.Uint32(head[8:]) != sum || le.Uint64(head[12:]) != lsn {
		return errors.New("snapshot checksum differs")
	}
	s.alerts, s.length = le.Uint64(head[20:]), le.Uint64(head[28:])
	return nil
}
