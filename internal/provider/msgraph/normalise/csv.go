package normalise

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	maxHeader  = 64 << 10 // bytes of the line that names the columns
	maxColumns = 1000     // of a table
	maxCell    = 8 << 20  // bytes of one field of a CSV file
)

// csvColumns are columns of which an export has at least one; a file that begins
// with none of them, nor with the "Date (UTC)" of the admin center, is no CSV that is known.
func csvColumns() []string {
	return []string{"TimeGenerated", "ActivityDateTime", "CreatedDateTime", "Timestamp", "AuditData", "OAuthAppId"}
}

// sheet is a CSV file: its columns, and how its fields are told apart.
type sheet struct {
	comma   rune
	columns []string
	local   string // a column whose times are not in UTC, "" = none
}

// sheetOf recognises a CSV file by its first line, and reads past that line; nil
// for other files. Portals write commas, a spreadsheet that saved the file again
// may have written semicolons or tabs; PowerShell may begin with the type.
func sheetOf(in *bufio.Reader) (*sheet, error) {
	begin, err := in.Peek(maxHeader)
	if err != nil && !errors.Is(err, io.EOF) && len(begin) == 0 {
		return nil, fmt.Errorf("read records: %w", err)
	}
	size := 0
	if bytes.HasPrefix(begin, []byte("#TYPE ")) {
		size = bytes.IndexByte(begin, '\n') + 1
	}
	line, _, whole := bytes.Cut(begin[size:], []byte("\n"))
	if !whole && len(begin) == maxHeader {
		return nil, nil
	}
	for _, comma := range []rune{',', ';', '\t'} {
		s := sheet{comma: comma}
		names, err := s.fields(line)
		if err != nil {
			continue
		}
		s.name(names)
		if known := func(c string) bool { return slices.Contains(csvColumns(), c) || strings.HasPrefix(c, "Date (") }; len(names) <= maxColumns && slices.ContainsFunc(s.columns, known) {
			_, err := in.Discard(min(size+len(line)+1, len(begin)))
			return &s, err
		}
	}
	return nil, nil
}

// name takes the names of the columns; the portal of Log Analytics says behind
// that of a time which zone it is in.
func (s *sheet) name(names []string) {
	for _, name := range names { // some have a space too many
		plain, zone, found := strings.Cut(strings.TrimSuffix(strings.TrimSpace(name), "]"), " [")
		_, of, dated := strings.Cut(strings.TrimSuffix(plain, ")"), "Date (") // of the admin center
		if found && zone != "UTC" || dated && of != "UTC" {
			s.local = strings.TrimSpace(name)
		}
		s.columns = append(s.columns, strings.Join(strings.Fields(plain), " "))
	}
}

// fields splits one record; it is an error if that is not all of line.
func (s *sheet) fields(line []byte) ([]string, error) {
	r := csv.NewReader(bytes.NewReader(line))
	r.Comma, r.FieldsPerRecord = s.comma, -1
	out, err := r.Read()
	if err == nil && r.InputOffset() < int64(len(line)) {
		err = errors.New("a quote stands where none can be")
	}
	return out, err
}

// rows hands each row of the rest of the file on as an object of texts; cells
// without a value are left out. Memory is bounded by maxRecord. A row that cannot
// be read costs its first line alone.
func (s *sheet) rows(in io.Reader, fn func(raw []byte, bad error) error) error {
	w := window{r: in}
	for {
		line, whole := w.row()
		if len(line) == 0 {
			break
		}
		if len(bytes.TrimSpace(line)) == 0 {
			w.skip(len(line))
			continue
		}
		raw, cells, bad := line, []string(nil), error(nil)
		if whole {
			cells, bad = s.fields(line)
		}
		switch {
		case !whole:
			bad = refuse("too_large", "a row of more than %d bytes", maxRecord)
		case bad != nil:
			bad = refuse("wrong_type", "the row is no CSV: %v", bad)
			line = firstLine(line)
			raw = line
		default:
			raw, bad = s.row(line, cells)
		}
		if err := fn(bytes.TrimRight(raw, "\r\n"), bad); err != nil {
			return err
		}
		w.skipLine(line, whole)
	}
	if w.err != nil && !errors.Is(w.err, io.EOF) {
		return fmt.Errorf("read records: %w", w.err)
	}
	return nil
}

// row makes an object of the cells of a line.
func (s *sheet) row(line []byte, cells []string) ([]byte, error) {
	switch {
	case len(cells) > len(s.columns):
		return line, refuse("wrong_type", "the row has %d cells, the file %d columns", len(cells), len(s.columns))
	case s.local != "":
		return line, refuse("no_time", "column %q is not in UTC: set the portal to UTC and export again", s.local)
	}
	r := rowWriter{}
	var text []byte
	for i, cell := range cells {
		if len(cell) > maxCell {
			return line, refuse("too_large", "column %q holds more than %d bytes", s.columns[i], maxCell)
		}
		if cell != "" {
			text = quoted(text[:0], cell)
			r.cell(s.columns[i], text)
		}
	}
	return r.row(), nil
}

func firstLine(b []byte) []byte {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return b[:i+1]
	}
	return b
}

// row is what is kept up to the first end of a line that stands in no quotes; empty
// at the end, whole is false where it is longer than may be kept.
func (w *window) row() (line []byte, whole bool) {
	size, quotes := 0, 0
	for {
		rest := w.rest()[size:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 {
			end = len(rest) - 1
		}
		quotes += bytes.Count(rest[:end+1], []byte{'"'})
		size += end + 1
		switch {
		case size > maxRecord:
			return w.rest()[:size], false
		case size > 0 && w.rest()[size-1] == '\n' && quotes%2 == 0:
			return w.rest()[:size], true
		case size < len(w.rest()):
			continue
		}
		w.next = len(w.buf)
		if w.more() != nil {
			return w.rest()[:size], true
		}
	}
}
