package msgraph

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/appgovd/appgovd/internal/outbound"
)

// links are the annotations of a page that lead on.
type links struct {
	next  string // @odata.nextLink, or its like
	delta string // @odata.deltaLink
	again bool   // there is more where this came from
}

// broken is a page whose body is not a page: cut off, garbage or too large. It
// is transient; the same page failing again and again is read in smaller pieces.
type broken struct {
	err   error
	large bool
}

func (e *broken) Error() string { return "read page: " + e.err.Error() }
func (e *broken) Unwrap() error { return e.err }

// maxElements bounds a page beside its bytes: an element of one byte costs a
// record. No collection gives more than maxPageSize.
const maxElements = 10 * maxPageSize

// decodePage reads one answer of a collection as a stream. each is called with
// every element of value, in order; raw is valid until it returns. A body that
// is not whole is an error, whatever was handed on before: the caller drops it.
func decodePage(r io.Reader, each func(raw []byte)) (links, error) {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	l, err := decodeBody(d, each)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return links{}, &broken{err: err, large: errors.Is(err, outbound.ErrTooLarge)}
	}
	return l, nil
}

// decodeSingle reads an answer that is one object, and hands it on as a whole.
func decodeSingle(r io.Reader, each func(raw []byte)) (links, error) {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	raw, err := d.ReadValue()
	if err == nil && raw.Kind() != jsontext.KindBeginObject {
		err = errors.New("the answer is no object")
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return links{}, &broken{err: err, large: errors.Is(err, outbound.ErrTooLarge)}
	}
	each(raw)
	return links{}, nil
}

// decodeHunt reads the result of a hunting query; one without rows may have no
// member for them.
func decodeHunt(r io.Reader, each func(raw []byte)) (links, error) {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	l, err := decodeMembers(d, "results", true, each)
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return links{}, &broken{err: err, large: errors.Is(err, outbound.ErrTooLarge)}
	}
	return l, nil
}

// decodeList reads an answer that is a list and nothing else.
func decodeList(r io.Reader, each func(raw []byte)) (links, error) {
	d := jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	err := decodeValue(d, maxElements, each)
	if err == nil {
		err = ended(d)
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return links{}, &broken{err: err, large: errors.Is(err, outbound.ErrTooLarge)}
	}
	return links{}, nil
}

func ended(d *jsontext.Decoder) error {
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("the answer goes on behind its end")
	}
	return nil
}

func decodeBody(d *jsontext.Decoder, each func(raw []byte)) (l links, err error) {
	return decodeMembers(d, "value", false, each)
}

func decodeMembers(d *jsontext.Decoder, list string, optional bool, each func(raw []byte)) (l links, err error) {
	if err := expect(d, jsontext.KindBeginObject); err != nil {
		return l, err
	}
	found, limit := false, maxElements
	if optional {
		limit = huntRows
	}
	for d.PeekKind() != jsontext.KindEndObject {
		name, err := d.ReadToken()
		if err != nil {
			return l, err
		}
		switch name.String() {
		case list:
			if found {
				return l, errors.New("the answer has two members " + list)
			}
			found, err = true, decodeValue(d, limit, each)
		case "@odata.nextLink":
			l.next, err = decodeLink(d)
		case "@odata.deltaLink":
			l.delta, err = decodeLink(d)
		default:
			err = d.SkipValue()
		}
		if err != nil {
			return l, err
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return l, err
	}
	if !found && !optional {
		return l, errors.New("the answer has no member " + list)
	}
	return l, ended(d)
}

func decodeValue(d *jsontext.Decoder, limit int, each func(raw []byte)) error {
	if err := expect(d, jsontext.KindBeginArray); err != nil {
		return err
	}
	for n := 1; d.PeekKind() != jsontext.KindEndArray; n++ {
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		if n > limit {
			return fmt.Errorf("more than %d elements: %w", limit, outbound.ErrTooLarge)
		}
		each(raw)
	}
	_, err := d.ReadToken()
	return err
}

func decodeLink(d *jsontext.Decoder) (string, error) {
	t, err := d.ReadToken()
	if err != nil {
		return "", err
	}
	if k := t.Kind(); k != jsontext.KindString && k != jsontext.KindNull {
		return "", errors.New("a link is not a string")
	}
	if t.Kind() == jsontext.KindNull {
		return "", nil
	}
	return t.String(), nil
}

func expect(d *jsontext.Decoder, kind jsontext.Kind) error {
	t, err := d.ReadToken()
	if err != nil {
		return err
	}
	if t.Kind() != kind {
		return fmt.Errorf("the answer has %v where %v belongs", t.Kind(), kind)
	}
	return nil
}
