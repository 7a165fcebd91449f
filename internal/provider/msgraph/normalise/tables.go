package normalise

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// tables reads the list of tables that a query of Log Analytics answers with: the
// names of the columns once, then rows without names.
// https://learn.microsoft.com/azure/azure-monitor/logs/api/response-format
func (s *splitter) tables() error {
	return s.each(func() error {
		if s.dec.PeekKind() == '{' {
			return s.table()
		}
		return s.skip()
	})
}

// each reads a list, element by element.
func (s *splitter) each(element func() error) error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	for s.dec.PeekKind() != ']' {
		if err := element(); err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

func (s *splitter) table() error {
	if _, err := s.dec.ReadToken(); err != nil {
		return err
	}
	var columns []string
	for s.dec.PeekKind() != '}' {
		name, err := s.dec.ReadToken()
		if err != nil {
			return err
		}
		member := name.String()
		switch isList := s.dec.PeekKind() == '['; {
		case isList && (member == "columns" || member == "Columns"):
			columns, err = s.columns()
		case isList && (member == "rows" || member == "Rows"):
			err = s.each(func() error { return s.row(columns) })
		default:
			err = s.skip()
		}
		if err != nil {
			return err
		}
	}
	_, err := s.dec.ReadToken()
	return err
}

// columns reads the names of columns: {"name": …} or, of the older interface,
// {"ColumnName": …}. Those beyond maxColumns have none.
func (s *splitter) columns() ([]string, error) {
	var names []string
	return names, s.each(func() error {
		from := s.dec.InputOffset()
		if err := s.skip(); err != nil || len(names) == maxColumns {
			return err
		}
		var t tape
		t.room = &tapes{}
		name := ""
		if t.scan(s.since(from)) && t.nodes[0].kind == '{' {
			o := object{value{&t, 0}}
			name = or(o.get("name").text(), o.get("ColumnName").text())
		}
		names = append(names, name)
		return nil
	})
}

// row hands a row on as an object. Cells without a value are left out, as a query
// over several tables fills the columns of the others with them.
func (s *splitter) row(columns []string) error {
	s.in.drop(s.dec.InputOffset())
	if s.dec.PeekKind() != '[' {
		from := s.dec.InputOffset()
		if err := s.skip(); err != nil {
			return err
		}
		return s.record(from)
	}
	begun, at, r := s.dec.InputOffset(), 0, rowWriter{}
	err := s.each(func() error {
		from := s.dec.InputOffset()
		if err := s.skip(); err != nil {
			return err
		}
		if cell := s.since(from); at < len(columns) && string(cell) != "null" && string(cell) != `""` {
			r.cell(columns[at], cell)
		}
		at++
		return nil
	})
	if err != nil {
		return err
	}
	raw, bad := r.row(), error(nil)
	if at != len(columns) {
		raw, bad = s.since(begun), refuse("wrong_type", "the row has %d cells, %d columns were named before it (at most %d)", at, len(columns), maxColumns)
	}
	if err := s.fn(raw, bad); err != nil {
		return stop{err}
	}
	return nil
}

// since is the value that was read from an offset on.
func (s *splitter) since(from int64) []byte {
	return bytes.TrimLeft(s.in.between(from, s.dec.InputOffset()), ":, \t\r\n")
}

// rowWriter makes an object of the cells of a row.
type rowWriter struct{ out []byte }

// cell adds a member; value is JSON.
func (r *rowWriter) cell(name string, value []byte) {
	sep := byte(',')
	if len(r.out) == 0 {
		sep = '{'
	}
	r.out = quoted(append(r.out, sep), name)
	r.out = append(append(r.out, ':'), value...)
}

func (r *rowWriter) row() []byte {
	if len(r.out) == 0 {
		return []byte("{}")
	}
	return append(r.out, '}')
}

// quoted appends s as JSON; what is no UTF-8 is replaced.
func quoted(out []byte, s string) []byte {
	out, _ = jsontext.AppendQuote(out, s) // the only error is of invalid UTF-8, which it replaces
	return out
}
