package normalise

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/appgovd/appgovd/internal/event"
)

// Stream is what becomes of the records of a stream. What its functions get lives as
// long as their call, but for events.
type Stream struct {
	// Collect says of the category of a record, "" for one without, whether it is
	// collected; what is not is passed over.
	Collect func(category string) bool
	// Keep says of a call, by what its record says, whether it is kept by itself: of one
	// that is not, Sum gets what a roll-up needs. nil = all are kept.
	Keep   func(*event.Event) bool
	Sum    func(*event.Event)
	Take   func(rec Record, raw []byte)
	Refuse func(raw []byte, bad error)
}

// Message decodes the records of one message of a stream: a diagnostic-settings record
// or many of them, or whatever Records and Exported know, all of the decoder's tenant.
// A record of another tenant is refused.
func (d *Decoder) Message(message []byte, s Stream) {
	w := d.work()
	defer d.rest(w, len(message))
	if w.tape.scan(message) && w.tape.nodes[0].kind == '{' {
		root := object{value{&w.tape, 0}}
		list := root.get("records")
		if list.kind() == '[' {
			list.each(func(v value) { w.streamed(v, &s) })
			return
		}
		if root.get("value").kind() != '[' && root.get("tables").kind() != '[' && root.get("Tables").kind() != '[' {
			w.tape.makeQuick()
			w.streamed(root.value, &s)
			return
		}
	}
	_ = Records(bytes.NewReader(message), func(raw []byte, bad error) error { // fn returns nil only
		if bad == nil && !w.tape.scan(raw) {
			bad = refuse("not_json", "%s", wrong(raw))
		}
		if bad != nil {
			s.Refuse(raw, bad)
		} else {
			w.streamed(value{&w.tape, 0}, &s)
		}
		return nil
	})
}

// streamed decodes one record.
func (w *work) streamed(v value, s *Stream) {
	defer w.inner.free()
	if v.kind() != '{' {
		s.Refuse(v.raw(), refuse("not_an_object", "the record is no object"))
		return
	}
	o := object{v}
	category := o.str("category", "Category")
	if !s.Collect(category) {
		return
	}
	if t := tenantOf(unpacked(o)); t != "" && !strings.EqualFold(t, w.tenant) {
		s.Refuse(v.raw(), refuse("other_tenant", "the record is of tenant %s", t))
		return
	}
	p := o.get("properties")
	if p.kind() == '{' && p.at > 0 {
		w.tape.makeIndex(p.at)
	}
	if s.Keep != nil && p.kind() == '{' && isCalls(category) && w.summed(object{p}, s) {
		return
	}
	r, err := w.any(o)
	if err != nil {
		s.Refuse(v.raw(), err)
		return
	}
	s.Take(r, v.raw())
}

// isCalls reports whether a category is of calls to an API.
func isCalls(category string) bool {
	return strings.EqualFold(category, "MicrosoftGraphActivityLogs") || strings.EqualFold(category, "AzureADGraphActivityLogs")
}

// summed hands a call on to be summed up, if it is one that is not kept. Its texts lie
// in the message; it has neither identity nor record.
func (w *work) summed(p object, s *Stream) bool {
	t := &w.tape
	w.brief, t.whole = true, unsafe.String(unsafe.SliceData(t.text), len(t.text)) //nolint:gosec // nobody changes a message, and Sum keeps none of it
	var e event.Event
	err := w.call(&e, p)
	w.brief, t.whole = false, ""
	if err != nil || s.Keep(&e) {
		return false
	}
	s.Sum(&e)
	return true
}
