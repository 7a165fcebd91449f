package detect

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/appgovd/appgovd/internal/event"
)

// What a rule remembers, one part of the binary form each.
const (
	partWindow   = 1 + iota // the hits of one threshold; they come in order
	partSeen                // the keys of first_seen
	partBuckets             // the windows of compare
	partValues              // the values in them
	partSketches            // where they are many
	partMarks               // the steps of a sequence
	partWaiting             // sequences that wait
	partStep                // first_seen of one step; they come in order
	partActivity            // the last matches of absence
)

// remember is the binary form of the tables of all rules: for each that has any,
// in order of id, the id and its parts.
func (s *state) remember() []byte {
	var w writer
	for _, id := range sortedKeys(s.Rules) {
		if parts := s.Rules[id].parts(); len(parts) > 0 {
			w.bytes([]byte(id))
			w.uint(uint64(len(parts)))
			for _, p := range parts {
				w.uint(uint64(p.kind))
				w.bytes(p.b)
			}
		}
	}
	return w.b
}

type part struct {
	kind int
	b    []byte
}

func (r *ruleState) parts() []part {
	var out []part
	add := func(kind int, write func(*writer)) {
		var w writer
		write(&w)
		out = append(out, part{kind, w.b})
	}
	for i := range r.windows {
		add(partWindow, func(w *writer) { writeLists(w, &r.windows[i], writeHit) })
	}
	if r.Seen != nil {
		add(partSeen, func(w *writer) { writeLists(w, &r.Seen.keys, writeTime) })
	}
	if b := r.baseline; b != nil {
		add(partBuckets, func(w *writer) { writeLists(w, &b.windows, writeBucket) })
		add(partValues, func(w *writer) { writeLists(w, &b.values, writeValue) })
		add(partSketches, func(w *writer) { writeLists(w, &b.many, writeSketch) })
	}
	if q := r.sequence; q != nil {
		add(partMarks, func(w *writer) { writeBlobs(w, &q.marks) })
		add(partWaiting, func(w *writer) { writeBlobs(w, &q.waiting) })
		for i := range q.seen {
			add(partStep, func(w *writer) {
				w.int(q.seen[i].Began)
				w.uint(uint64(q.seen[i].Behind))
				writeLists(w, &q.seen[i].keys, writeTime)
			})
		}
	}
	if a := r.absence; a != nil {
		add(partActivity, func(w *writer) {
			w.int(a.gap)
			writeBlobs(w, &a.last)
		})
	}
	return out
}

// recall is the inverse of remember.
func (s *state) recall(b []byte) error {
	r := reader{b: b}
	for len(r.b) > 0 {
		id := string(r.bytes())
		st := s.Rules[id]
		if st == nil {
			return fmt.Errorf("rule %q: tables without a rule", id)
		}
		for range r.count() {
			kind := r.uint()
			p := reader{b: r.bytes()}
			if err := st.recall(kind, &p); err != nil {
				return fmt.Errorf("rule %q: %w", id, err)
			}
		}
		if r.err != nil {
			return fmt.Errorf("rule %q: %w", id, r.err)
		}
	}
	return nil
}

func (r *ruleState) recall(kind uint64, p *reader) error {
	switch {
	case kind == partWindow:
		r.windows = append(r.windows, readLists(p, readHit))
	case kind == partSeen && r.Seen != nil:
		r.Seen.keys = readLists(p, readTime)
	case kind == partBuckets:
		r.baseline = &baseline{windows: readLists(p, readBucket)}
	case kind == partValues && r.baseline != nil:
		r.baseline.values = readLists(p, readValue)
	case kind == partSketches && r.baseline != nil:
		r.baseline.many = readLists(p, readSketch)
	case kind == partMarks:
		r.sequence = &sequence{marks: readBlobs(p, func(x *reader) { readMarks(x) })}
	case kind == partWaiting && r.sequence != nil:
		r.sequence.waiting = readBlobs(p, func(x *reader) { readPending(x) })
	case kind == partStep && r.sequence != nil:
		r.sequence.seen = append(r.sequence.seen, seen{Began: p.int(), Behind: int(p.uint()), keys: readLists(p, readTime)})
	case kind == partActivity:
		r.absence = &absence{gap: p.int(), last: readBlobs(p, func(x *reader) { readActivity(x) })}
	default:
		return fmt.Errorf("part %d is not known", kind)
	}
	return p.err
}

// upgrade takes the tables from a snapshot of version 1, which had them in JSON.
func (s *state) upgrade(b []byte) error {
	var old struct {
		Rules map[string]*struct {
			Windows map[text]*struct {
				Hits []struct {
					T  int64
					ID event.ID
					V  text
				}
			}
			Seen *struct{ Keys map[text]int64 }
		}
	}
	if err := json.Unmarshal(b, &old); err != nil {
		return err
	}
	s.Version = stateVersion
	for id, from := range old.Rules {
		st := s.Rules[id]
		if from == nil || st == nil {
			continue
		}
		if len(from.Windows) > 0 {
			st.windows = make([]lists[hit], 1)
		}
		for key, w := range from.Windows {
			if w == nil {
				continue
			}
			for _, h := range w.Hits {
				st.windows[0].push(key.hash(), hit{T: h.T, ID: h.ID, V: h.V.hash().small()})
			}
		}
		if from.Seen != nil && st.Seen != nil {
			for key, last := range from.Seen.Keys {
				st.Seen.keys.put(key.hash(), []int64{last})
			}
		}
	}
	return nil
}

// hash is the key that t is the text of.
func (t text) hash() hash {
	if t == "" {
		return hash{} // the one empty key
	}
	b, _ := base64.RawStdEncoding.DecodeString(string(t))
	return hashOf(b)
}
