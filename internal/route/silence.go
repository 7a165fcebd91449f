package route

import (
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

// MaxSilences is how many of the command line can be in force or to come.
const MaxSilences = 1000

// Silences are all silences of one agent: those of files, and those of the command
// line, which are part of the state. Safe for concurrent use.
type Silences struct {
	compile func(string) (Matcher, error)
}

// NewSilences begins with those of files. compile makes a condition of its text; it is
// kept. The error names the silence of a file that does not compile or is not whole.
func NewSilences(compile func(string) (Matcher, error), file []Silence) (*Silences, error) {
	return &Silences{compile: compile}, nil
}

// Add is the operation that adds s at now: to be made durable, then applied. It fails
// where s does not compile, is not whole, is over already, or where there are too many.
func (s *Silences) Add(add Silence, now time.Time) (*Op, error) { return nil, nil }

// Expire is the operation that ends the silence of that id now. It fails where there is
// none, or where it is of a file.
func (s *Silences) Expire(id event.ID, now time.Time) (*Op, error) { return nil, nil }

// Apply does one of its operations (OpSilence, OpExpire).
func (s *Silences) Apply(op *Op) error { return nil }

// List are the silences that hold at now or will, those of files first, then by end.
func (s *Silences) List(now time.Time) []Silence { return nil }

// Changed is closed when silences change; ask for it again then.
func (s *Silences) Changed() <-chan struct{} { return nil }

// AppendState appends the silences of the command line for a snapshot.
func (s *Silences) AppendState(dst []byte) []byte { return dst }

// Restore takes over what AppendState wrote.
func (s *Silences) Restore(b []byte) error { return nil }
