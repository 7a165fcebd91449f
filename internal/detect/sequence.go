package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// mark is an event that took a step of a sequence.
type mark struct {
	Step   int
	T      int64
	ID     event.ID
	Values []rule.Value
	Event  []byte // of the last step that happens, where the alert must wait; else nil
}

// sequence is what the rule of a sequence remembers.
type sequence struct {
	marks   lists[byte] // of each key, in order of time
	waiting lists[byte] // complete but for steps that must not happen: a pending each
	seen    []seen      // of each step
}

func (q *sequence) keys() int {
	n := q.marks.used + q.waiting.used
	for i := range q.seen {
		n += q.seen[i].keys.used
	}
	return n
}

// pending is a sequence that waits until nothing can come in between.
type pending struct {
	Until int64 // every source of the absent steps must be complete past this time
	Key   hash
	Found []mark // one for each step, those that must not happen left empty
}

// Of each step and key so many marks are kept, the newest; and so many
// combinations of them are tried for one event.
const (
	maxMarks        = 16
	maxCombinations = 4096
)

// settling is how long after a time its records may still come, however complete
// the source says it is: the same as for grants that must be explained.
const settling = 4 * time.Hour

// sequenceOf runs the steps of r over e.
func (m *Machine) sequenceOf(r *rule.Rule, st *ruleState, e *event.Event) {
	q := st.sequence
	told, why := false, []string(nil)
	for i, step := range r.Sequence.Steps {
		key, short := m.takes(r, q, i, e)
		if short != "" {
			if m.opt.Watch.Stop != nil {
				why = append(why, "step "+step.Name+" "+short)
			}
			continue
		}
		x := mark{Step: i, T: nanos(e.Time), ID: e.ID, Values: step.Capture(&m.env)}
		if r.Sequence.Absent && i == lastStep(r.Sequence) {
			x.Event = stored(e)
		}
		all := q.take(key, x, int64(r.Sequence.Within), int64(m.opt.Lateness))
		m.evicted(r.ID, q.marks.evict(m.limit(r.Sequence.MaxKeys), newestMark))
		switch found := m.completed(r, all, x); {
		case found == nil:
			why = append(why, m.incomplete(r, all, i))
		case r.Sequence.Absent:
			why = append(why, m.wait(r, st, key, found))
		default:
			m.tellSequence(r, st, e, key, found)
			told = true
		}
	}
	m.env.Steps = nil
	if !told {
		m.stopped(r, "sequence", func() string { return strings.Join(why, "; ") })
	}
}

// takes reports whether e takes step i, with the key of its sequence; else why not.
func (m *Machine) takes(r *rule.Rule, q *sequence, i int, e *event.Event) (hash, string) {
	step := r.Sequence.Steps[i]
	switch {
	case !slices.Contains(step.On, e.Action):
		return hash{}, "has other actions"
	case step.Match(&m.env) != rule.True:
		return hash{}, "does not hold"
	case !m.firstStep(r, q, i, e):
		return hash{}, "is nothing new, or too little is known to say so"
	}
	key, ok := m.hashOf(step.By)
	if !ok {
		return hash{}, "has a key that is unknown"
	}
	return key, ""
}

// completed is the way through all steps that with is a part of; nil = there is none.
func (m *Machine) completed(r *rule.Rule, all []mark, with mark) []mark {
	if r.Sequence.Steps[with.Step].Not {
		return nil
	}
	return m.complete(r, all, with)
}

// incomplete says what a sequence lacks whose step i was taken.
func (m *Machine) incomplete(r *rule.Rule, all []mark, i int) string {
	if m.opt.Watch.Stop == nil {
		return ""
	}
	took := "step " + r.Sequence.Steps[i].Name + " is taken"
	if r.Sequence.Steps[i].Not {
		return took + ", which must not happen"
	}
	var missing []string
	for k, step := range r.Sequence.Steps {
		if !step.Not && !slices.ContainsFunc(all, func(x mark) bool { return x.Step == k }) {
			missing = append(missing, step.Name)
		}
	}
	if len(missing) == 0 {
		return took + ", and the others are not in order, not in time, or not as it asks of them"
	}
	return took + "; of the key there is no " + strings.Join(missing, ", ")
}

// firstStep reports whether e passes the step's first_seen.
func (m *Machine) firstStep(r *rule.Rule, q *sequence, i int, e *event.Event) bool {
	f := r.Sequence.Steps[i].FirstSeen
	if f == nil {
		return true
	}
	s, t := &q.seen[i], nanos(e.Time)
	s.learn(t, int64(f.History))
	key, ok := m.hashOf(f.Key)
	if !ok {
		return false
	}
	isNew := s.add(key, t, int64(f.History), int64(f.MinHistory), f.AtMost)
	m.evicted(r.ID, s.keys.evict(m.limit(f.MaxKeys), latest))
	return isNew
}

func lastStep(s *rule.Sequence) int {
	for i := len(s.Steps) - 1; ; i-- {
		if !s.Steps[i].Not {
			return i
		}
	}
}

// stored is an event as it waits for its alert: without the raw record.
func stored(e *event.Event) []byte {
	copied := *e
	copied.Raw = nil
	return event.AppendFrame(nil, &event.Frame{Kind: event.FramePage, Events: []event.Event{copied}})
}

// take adds x to the marks of key and returns them, in order of time, of one time
// in the order in which they were read.
func (q *sequence) take(key hash, x mark, within, late int64) []mark {
	r := reader{b: q.marks.get(key)}
	all := readMarks(&r)
	at, _ := slices.BinarySearchFunc(all, x.T+1, func(y mark, t int64) int { return cmp.Compare(y.T, t) })
	all = slices.Insert(all, at, x)
	if n := len(all); n >= 2 {
		old := all[n-2].T - within - late
		all = slices.DeleteFunc(all, func(y mark) bool { return y.T < old && y.ID != x.ID })
	}
	same := 0
	for _, y := range all {
		if y.Step == x.Step {
			same++
		}
	}
	if same > maxMarks {
		i := slices.IndexFunc(all, func(y mark) bool { return y.Step == x.Step })
		all = slices.Delete(all, i, i+1)
	}
	var w writer
	writeMarks(&w, all)
	q.marks.put(key, w.b)
	return all
}

// newestMark is the age of a key's marks.
func newestMark(b []byte) int64 {
	r := reader{b: b}
	return r.int()
}

// search looks for a way through the steps that x is a part of.
type search struct {
	m     *Machine
	r     *rule.Rule
	all   []mark
	with  mark
	found []mark
	tries int
}

func (m *Machine) complete(r *rule.Rule, all []mark, with mark) []mark {
	s := search{m: m, r: r, all: all, with: with, found: make([]mark, len(r.Sequence.Steps))}
	m.env.Steps = make([][]rule.Value, len(r.Sequence.Steps))
	if !s.step(0, -1) {
		return nil
	}
	return s.found
}

// step finds a mark for step i behind all[after].
func (s *search) step(i, after int) bool {
	steps := s.r.Sequence.Steps
	for i < len(steps) && steps[i].Not {
		i++
	}
	if i == len(steps) {
		return true
	}
	for k := after + 1; k < len(s.all) && s.tries < maxCombinations; k++ {
		x := s.all[k]
		if x.Step != i || i == s.with.Step && x.ID != s.with.ID || s.taken(i, x) {
			continue
		}
		if x.T-s.first(i, x) > int64(s.r.Sequence.Within) {
			return false
		}
		s.tries++
		s.found[i], s.m.env.Steps[i] = x, x.Values
		if s.m.follows(s.r, i, x.T) && s.step(i+1, k) {
			return true
		}
	}
	return false
}

func (s *search) first(i int, x mark) int64 {
	if i == 0 {
		return x.T
	}
	return s.found[0].T
}

// taken reports whether the event of x took an earlier step.
func (s *search) taken(i int, x mark) bool {
	return slices.ContainsFunc(s.found[:i], func(y mark) bool { return y.ID == x.ID })
}

// follows asks what step i asks of the steps before it.
func (m *Machine) follows(r *rule.Rule, i int, t int64) bool {
	step := r.Sequence.Steps[i]
	if !step.Asks() {
		return true
	}
	now := m.env.Now
	m.env.Now = moment(t)
	m.looks(r.ID)
	ok := step.Follows(&m.env) == rule.True
	m.env.Now = now
	return ok
}

// wait keeps a sequence until it is known whether a step happened that must not.
func (m *Machine) wait(r *rule.Rule, st *ruleState, key hash, found []mark) string {
	until := int64(0)
	for i, step := range r.Sequence.Steps {
		if step.Not {
			until = max(until, m.until(r.Sequence, found, i))
		}
	}
	last := found[lastStep(r.Sequence)]
	var w writer
	writePending(&w, pending{Until: until, Key: key, Found: found})
	id := hashOf(append(append([]byte(nil), key[:]...), last.ID[:]...))
	st.sequence.waiting.put(id, w.b)
	m.evicted(r.ID, st.sequence.waiting.evict(m.limit(r.Sequence.MaxKeys), newestMark))
	return "all steps are taken; it is told when the sources are read past " + stamp(moment(until)) + " and nothing came in between"
}

// until is when step i, which must not happen, can no longer happen.
func (m *Machine) until(s *rule.Sequence, found []mark, i int) int64 {
	for k := i + 1; k < len(s.Steps); k++ {
		if !s.Steps[k].Not {
			return found[k].T
		}
	}
	return found[0].T + int64(s.Within)
}

// since is the step before step i that happened.
func since(s *rule.Sequence, found []mark, i int) int64 {
	for i--; s.Steps[i].Not; i-- {
	}
	return found[i].T
}

func (m *Machine) tellSequence(r *rule.Rule, st *ruleState, e *event.Event, key hash, found []mark) {
	var hits []hit
	for i, x := range found {
		if m.env.Steps[i] = x.Values; x.ID != (event.ID{}) {
			hits = append(hits, hit{T: x.T, ID: x.ID})
		}
	}
	m.group = encodeKey(key[:])
	m.fire(r, st, e, hits, len(hits))
}

// ripen tells the sequences for which nothing can come in between any more.
func (m *Machine) ripen(f *event.Frame) {
	if m.set == nil {
		return
	}
	for _, r := range m.set.Rules {
		st := m.state.Rules[r.ID]
		if r.Sequence == nil || st == nil || st.sequence == nil || st.sequence.waiting.used == 0 {
			continue
		}
		var actions []string
		for _, step := range r.Sequence.Steps {
			if step.Not {
				actions = append(actions, step.On...)
			}
		}
		if read := settled(f, actions); read > 0 {
			m.ripe(r, st, read)
		}
	}
	m.env.Steps = nil
}

// settled is the time up to which all records of some actions are read; 0 = not known.
func settled(f *event.Frame, actions []string) int64 {
	read := readThrough(f, &rule.Rule{On: actions})
	if read.IsZero() {
		return 0
	}
	return nanos(read.Add(-settling))
}

func (m *Machine) ripe(r *rule.Rule, st *ruleState, read int64) {
	q := st.sequence
	for _, id := range q.waiting.sorted() {
		b := reader{b: q.waiting.get(id)}
		p := readPending(&b)
		if p.Until > read {
			continue
		}
		q.waiting.drop(id)
		if len(p.Found) != len(r.Sequence.Steps) {
			continue // only a state that was written by nobody
		}
		last := p.Found[lastStep(r.Sequence)]
		f, err := event.DecodeFrame(last.Event)
		if err != nil || len(f.Events) != 1 {
			continue
		}
		m.look(&f.Events[0])
		m.env.Steps = make([][]rule.Value, len(p.Found))
		m.looks(r.ID)
		if m.interrupted(r, q, p) {
			m.stopped(r, "sequence", func() string { return "a step came in between that must not" })
		} else {
			m.tellSequence(r, st, &f.Events[0], p.Key, p.Found)
		}
	}
}

// interrupted reports whether a step happened that must not.
func (m *Machine) interrupted(r *rule.Rule, q *sequence, p pending) bool {
	for i, x := range p.Found {
		m.env.Steps[i] = x.Values
	}
	b := reader{b: q.marks.get(p.Key)}
	for _, x := range readMarks(&b) {
		if x.Step >= len(p.Found) || !r.Sequence.Steps[x.Step].Not || slices.ContainsFunc(p.Found, func(y mark) bool { return y.ID == x.ID }) {
			continue
		}
		m.env.Steps[x.Step] = x.Values
		if x.T >= since(r.Sequence, p.Found, x.Step) && x.T <= m.until(r.Sequence, p.Found, x.Step) && m.follows(r, x.Step, x.T) {
			return true
		}
		m.env.Steps[x.Step] = nil
	}
	return false
}

// expire drops what no record of oldest or later can meet.
func (q *sequence) expire(s *rule.Sequence, oldest int64) {
	q.marks.dropIf(func(b []byte) bool { return newestMark(b)+int64(s.Within) < oldest })
	for i := range min(len(q.seen), len(s.Steps)) {
		if f := s.Steps[i].FirstSeen; f != nil {
			q.seen[i].keys.dropIf(func(times []int64) bool { return latest(times)+int64(f.History) < oldest })
		}
	}
}

// writeMarks writes the time of the newest first.
func writeMarks(w *writer, all []mark) {
	w.int(all[len(all)-1].T)
	w.uint(uint64(len(all)))
	for i := range all {
		writeMark(w, &all[i])
	}
}

func readMarks(r *reader) []mark {
	if len(r.b) == 0 {
		return nil
	}
	r.int()
	all := make([]mark, r.count())
	for i := range all {
		all[i] = readMark(r)
	}
	return all
}

func writeMark(w *writer, x *mark) {
	w.uint(uint64(x.Step))
	w.int(x.T)
	w.raw(x.ID[:])
	w.uint(uint64(len(x.Values)))
	for _, v := range x.Values {
		if !v.Known {
			w.uint(0)
			continue
		}
		w.uint(1)
		w.int(v.Num)
		w.bytes([]byte(v.Str))
	}
	w.bytes(x.Event)
}

func readMark(r *reader) mark {
	x := mark{Step: int(min(r.uint(), 255)), T: r.int(), ID: event.ID(r.raw(len(event.ID{})))}
	x.Values = make([]rule.Value, r.count())
	for i := range x.Values {
		if r.uint() != 0 {
			x.Values[i] = rule.Value{Known: true, Num: r.int(), Str: string(r.bytes())}
		}
	}
	x.Event = r.bytes()
	return x
}

func writePending(w *writer, p pending) {
	w.int(p.Until)
	w.raw(p.Key[:])
	w.uint(uint64(len(p.Found)))
	for i := range p.Found {
		writeMark(w, &p.Found[i])
	}
}

func readPending(r *reader) pending {
	p := pending{Until: r.int(), Key: hash(r.raw(len(hash{})))}
	p.Found = make([]mark, r.count())
	for i := range p.Found {
		p.Found[i] = readMark(r)
	}
	return p
}

// writeBlobs writes lists of bytes as they are.
func writeBlobs(w *writer, l *lists[byte]) {
	w.uint(uint64(l.used))
	for _, k := range l.sorted() {
		w.raw(k[:])
		w.bytes(l.get(k))
	}
}

// readBlobs refuses what sound does not read to its end.
func readBlobs(r *reader, sound func(*reader)) lists[byte] {
	var l lists[byte]
	for range r.count() {
		k, b := hash(r.raw(len(hash{}))), r.bytes()
		x := reader{b: b}
		if sound(&x); x.err != nil || len(x.b) != 0 {
			r.fail()
		}
		if r.err != nil {
			return lists[byte]{}
		}
		l.put(k, b)
	}
	return l
}
