package route

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Silence keeps alerts that Where matches from being told until it ends. It holds for
// notification routes only.
type Silence struct {
	ID      event.ID  `json:"id"`             // given by Add; of one from a file: of its name
	Name    string    `json:"name,omitempty"` // of one from a file
	Where   string    `json:"where"`
	Author  string    `json:"author"`
	Reason  string    `json:"reason"`
	Created time.Time `json:"created,omitzero"`
	From    time.Time `json:"from,omitzero"` // zero = at once
	Until   time.Time `json:"until"`
	Problem string    `json:"problem,omitempty"` // why it matches nothing: a condition that compiled once and does not now
}

// At reports whether the silence holds at t.
func (s *Silence) At(t time.Time) bool { return !t.Before(s.From) && t.Before(s.Until) }

// Bounds of silences.
const (
	MaxSilences     = 1000     // of the command line that hold or will
	MaxSilenceText  = 1 << 10  // bytes of author and reason
	MaxSilenceWhere = 16 << 10 // bytes of the condition
)

// Silences are all silences of one agent: those of files, and those of the command
// line, which are part of the state. Safe for concurrent use.
type Silences struct {
	compile func(string) (Matcher, error)
	file    []*silence

	mu      sync.Mutex
	added   []*silence
	all     []*silence // file, then added; never changed in place
	version uint64     // of all: it rises with every change
	changed chan struct{}
}

// silence is one with its condition; nil = it does not compile.
type silence struct {
	Silence
	where Matcher
}

// NewSilences begins with those of files. compile makes a condition of its text; it is
// kept. The error names the silence of a file that does not compile or is not whole.
func NewSilences(compile func(string) (Matcher, error), file []Silence) (*Silences, error) {
	s := &Silences{compile: compile, changed: make(chan struct{})}
	var errs []error
	for i := range file {
		f := file[i]
		f.ID = event.NewID("silence", "file", f.Name)
		m, err := s.check(&f)
		if err != nil {
			errs = append(errs, fmt.Errorf("silence %q: %w", f.Name, err))
		}
		s.file = append(s.file, &silence{f, m})
	}
	s.put(nil)
	return s, errors.Join(errs...)
}

func (s *Silences) check(c *Silence) (Matcher, error) {
	switch {
	case c.Author == "" || c.Reason == "":
		return nil, errors.New("it needs an author and a reason")
	case len(c.Author) > MaxSilenceText || len(c.Reason) > MaxSilenceText:
		return nil, fmt.Errorf("author and reason have at most %d bytes", MaxSilenceText)
	case len(c.Where) > MaxSilenceWhere:
		return nil, fmt.Errorf("where has at most %d bytes", MaxSilenceWhere)
	case c.Where == "":
		return nil, errors.New("it needs a condition (where)")
	case nanos(c.Until) == 0:
		return nil, errors.New("it needs an end (until)")
	case !c.From.Before(c.Until):
		return nil, errors.New("it ends before it begins")
	}
	return s.compile(c.Where)
}

// put makes added the silences of the command line; under the lock.
func (s *Silences) put(added []*silence) {
	s.added = added
	s.all = slices.Concat(s.file, added)
	s.version++
	close(s.changed)
	s.changed = make(chan struct{})
}

// Add is the operation that adds c at now: to be made durable, then applied. It fails
// where c does not compile, is not whole, is over already, or where there are too many.
func (s *Silences) Add(c Silence, now time.Time) (*Op, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.Created, c.Name, c.Problem = at(nanos(now)), "", ""
	c.From, c.Until = at(nanos(c.From)), at(nanos(c.Until))
	if _, err := s.check(&c); err != nil {
		return nil, fmt.Errorf("add silence: %w", err)
	}
	if !now.Before(c.Until) {
		return nil, errors.New("add silence: it is over already")
	}
	if len(s.left(now)) >= MaxSilences {
		return nil, fmt.Errorf("add silence: there are %d already; expire some", MaxSilences)
	}
	c.ID = event.NewID("silence", c.Where, c.Author, c.Reason, fmt.Sprint(nanos(c.Created), nanos(c.From), nanos(c.Until), s.version))
	return &Op{Kind: OpSilence, Time: c.Created, silence: c}, nil
}

// left are those of the command line that are not over.
func (s *Silences) left(now time.Time) []*silence {
	var list []*silence
	for _, x := range s.added {
		if now.Before(x.Until) {
			list = append(list, x)
		}
	}
	return list
}

// Expire is the operation that ends the silence of that id now. It fails where there is
// none, or where it is of a file.
func (s *Silences) Expire(id event.ID, now time.Time) (*Op, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.all {
		switch {
		case x.ID != id || !now.Before(x.Until):
		case x.Name != "":
			return nil, fmt.Errorf("expire silence %s: it is in the configuration, as %q; take it out there", id, x.Name)
		default:
			return &Op{Kind: OpExpire, Time: at(nanos(now)), expire: id}, nil
		}
	}
	return nil, fmt.Errorf("expire silence %s: there is none that holds or will", id)
}

// Silence is what an OpSilence adds, and ok is true for one.
func (o *Op) Silence() (s Silence, ok bool) { return o.silence, o.Kind == OpSilence }

// Apply does one of its operations (OpSilence, OpExpire). Silences that are over by
// then are forgotten.
func (s *Silences) Apply(op *Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.left(op.Time)
	switch {
	case op.Kind == OpSilence && op.Sink == "":
		left = slices.DeleteFunc(left, func(x *silence) bool { return x.ID == op.silence.ID })
		left = append(left, s.compiled(op.silence))
	case op.Kind == OpExpire && op.Sink == "":
		left = slices.DeleteFunc(left, func(x *silence) bool { return x.ID == op.expire })
	default:
		return errors.New("apply routing operation: it is not of the silences")
	}
	s.put(left)
	return nil
}

// compiled keeps a silence whose condition does not compile any more: it says so.
func (s *Silences) compiled(c Silence) *silence {
	m, err := s.compile(c.Where)
	if c.Problem = ""; err != nil {
		c.Problem, m = err.Error(), nil
	}
	return &silence{c, m}
}

// List are the silences that hold at now or will, by their end.
func (s *Silences) List(now time.Time) []Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Silence
	for _, x := range s.all {
		if now.Before(x.Until) {
			list = append(list, x.Silence)
		}
	}
	slices.SortStableFunc(list, func(a, b Silence) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Name, b.Name)) })
	return list
}

// Changed is closed when silences change; ask for it again then.
func (s *Silences) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *Silences) state() ([]*silence, uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all, s.version
}

// match is the silence that holds for a at t, of several the one that ends last; nil =
// there is none.
func (s *Silences) match(a *event.Alert, t time.Time) *Silence {
	all, _ := s.state()
	var best *silence
	for _, x := range all {
		if x.where != nil && x.At(t) && (best == nil || x.Until.After(best.Until)) && x.where.Match(a) {
			best = x
		}
	}
	if best == nil {
		return nil
	}
	return &best.Silence
}

// known is the silence that h is short for; nil = it is gone, or matches nothing now.
func (s *Silences) known(h uint64) *Silence {
	if h == 0 {
		return nil
	}
	all, _ := s.state()
	for _, x := range all {
		if short(x.ID) == h && x.where != nil {
			return &x.Silence
		}
	}
	return nil
}

const silencesVersion = 1

// AppendState appends the silences of the command line for a snapshot.
func (s *Silences) AppendState(dst []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := encoder{dst}
	e.uint(silencesVersion)
	e.uint(uint64(len(s.added)))
	for _, x := range s.added {
		e.silence(&x.Silence)
	}
	return e.b
}

// Restore takes over what AppendState wrote. It fails, and changes nothing, where that
// is damaged.
func (s *Silences) Restore(b []byte) error {
	d := decoder{b: b}
	d.version(silencesVersion)
	added := make([]*silence, d.count(23))
	for i := range added {
		added[i] = s.compiled(d.silence())
	}
	if err := d.end(); err != nil {
		return fmt.Errorf("restore silences: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(added)
	return nil
}

// Forget forgets the silences of the command line, before others are restored.
func (s *Silences) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(nil)
}

func (e *encoder) silence(s *Silence) {
	e.id(s.ID)
	e.str(s.Where)
	e.str(s.Author)
	e.str(s.Reason)
	e.int(nanos(s.Created))
	e.int(nanos(s.From))
	e.int(nanos(s.Until))
}

func (d *decoder) silence() Silence {
	return Silence{ID: d.id(), Where: d.str(), Author: d.str(), Reason: d.str(), Created: at(d.int()), From: at(d.int()), Until: at(d.int())}
}
