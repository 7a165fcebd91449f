package app

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A section of a snapshot is a sequence of blocks, each a length u32 and its
// bytes, ended by a block of length 0: what is written need not be held in
// memory to know its length, and a reader may leave the rest unread.

const blockBytes = 64 << 10

// writeSection writes what fill writes as one section.
func writeSection(w io.Writer, fill func(io.Writer) error) error {
	b := bufio.NewWriterSize(blocks{w}, blockBytes)
	if err := fill(b); err != nil {
		return err
	}
	if err := b.Flush(); err != nil {
		return err
	}
	_, err := w.Write(make([]byte, 4))
	return err
}

func writeText(w io.Writer, b []byte) error {
	return writeSection(w, func(w io.Writer) error { _, err := w.Write(b); return err })
}

// blocks writes one block per Write.
type blocks struct{ w io.Writer }

func (b blocks) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), blockBytes)
		if _, err := b.w.Write(binary.LittleEndian.AppendUint32(nil, uint32(n))); err != nil {
			return 0, err
		}
		if _, err := b.w.Write(rest[:n]); err != nil {
			return 0, err
		}
		rest = rest[n:]
	}
	return len(p), nil
}

// readSection gives use the next section and skips what it leaves.
func readSection(r io.Reader, use func(io.Reader) error) error {
	s := &section{r: r}
	err := use(s)
	if err == nil {
		_, err = io.Copy(io.Discard, s)
	}
	if err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	return nil
}

// readText is a section as a whole, at most maxText bytes.
func readText(r io.Reader) (b []byte, err error) {
	err = readSection(r, func(r io.Reader) error {
		if b, err = io.ReadAll(io.LimitReader(r, maxText+1)); err == nil && len(b) > maxText {
			err = fmt.Errorf("a text of more than %d bytes", maxText)
		}
		return err
	})
	return b, err
}

const maxText = 64 << 20

type section struct {
	r    io.Reader
	left int
	done bool
}

func (s *section) Read(p []byte) (int, error) {
	if s.left == 0 && !s.done {
		var head [4]byte
		if _, err := io.ReadFull(s.r, head[:]); err != nil {
			return 0, cutShort(err)
		}
		n := binary.LittleEndian.Uint32(head[:])
		if n > blockBytes {
			return 0, fmt.Errorf("a block of %d bytes", n)
		}
		s.left, s.done = int(n), n == 0
	}
	if s.done {
		return 0, io.EOF
	}
	n, err := s.r.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, cutShort(err)
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
