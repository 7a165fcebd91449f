package detect

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

// state is everything that the machine remembers beside the inventory. Times
// are unix nanoseconds, 0 = never. encoding/json writes maps in order of key,
// so that equal states make equal bytes.
type state struct {
	Version    int
	Blob       *event.RulesBlob `json:",omitempty"` // the rules in force
	Started    int64            // first tick
	Ready      bool             // the first syncs are behind us
	Inspected  int64            // tick at which policies last looked at all apps
	Expired    int64            // tick at which what can matter no more was last dropped
	Rules      map[string]*ruleState
	Policies   map[string]*policyState
	Exceptions map[string]*exceptionState `json:",omitempty"`
	Risk       riskState
	Health     healthState
}

const stateVersion = 2

// maxState bounds the part of a snapshot that is not inventory.
const maxState = 1 << 30

// fits is the bound of Snapshot and of Restore: what is written can be read.
func fits(n uint64) error {
	if n > maxState {
		return fmt.Errorf("%d bytes, at most %d", n, maxState)
	}
	return nil
}

func newState() state {
	return state{Version: stateVersion, Rules: map[string]*ruleState{}, Policies: map[string]*policyState{}, Risk: riskState{Kinds: map[string]map[text]*entity{}}, Health: healthState{Sources: map[string]*collected{}}}
}

// Snapshot writes the state: the machine's part as JSON and the tables of the rules
// in binary form, each behind its length (uvarint), then the inventory's. Equal
// states write equal bytes.
func (m *Machine) Snapshot(w io.Writer) error {
	write, err := m.Freeze()
	if err != nil {
		return err
	}
	return write(w)
}

// Freeze encodes the machine's part and keeps the inventory as it is now. write does
// the rest, and may be called while the machine goes on.
func (m *Machine) Freeze() (write func(io.Writer) error, err error) {
	b, err := json.Marshal(&m.state)
	if err != nil {
		return nil, fmt.Errorf("encode detect state: %w", err)
	}
	parts := [...][]byte{b, m.state.remember()}
	for _, part := range parts {
		if err := fits(uint64(len(part))); err != nil {
			return nil, fmt.Errorf("encode detect state: %w", err)
		}
	}
	inv := m.inv.Freeze()
	return func(w io.Writer) error {
		for _, part := range parts {
			for _, x := range [...][]byte{binary.AppendUvarint(nil, uint64(len(part))), part} {
				if _, err := w.Write(x); err != nil {
					return fmt.Errorf("write detect state: %w", err)
				}
			}
		}
		return inv.Write(w)
	}, nil
}

// Restore replaces the state by a snapshot, and the rules by those that were in
// force. Where this program no longer compiles them the state is kept, no rule is
// in force until the next FrameRules, and Stats counts it. After an error the
// machine is empty, with the rules it had.
func (m *Machine) Restore(r io.Reader) error {
	in := bufio.NewReader(r)
	set := m.set
	err := m.restoreState(in)
	if err == nil {
		err = m.inv.Restore(in)
	}
	if err != nil {
		m.inv = emptyInventory(m.opt)
		m.state = newState()
		m.install(set, time.Time{})
	}
	return err
}

func (m *Machine) restoreState(in *bufio.Reader) error {
	b, err := readPart(in)
	if err != nil {
		return err
	}
	s := newState()
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("parse detect state: %w", err)
	}
	switch s.Version {
	case 1:
		err = s.upgrade(b)
	case stateVersion:
		if b, err = readPart(in); err == nil {
			err = s.recall(b)
		}
	default:
		err = fmt.Errorf("version %d, this program knows %d", s.Version, stateVersion)
	}
	if err == nil {
		err = s.check()
	}
	if err != nil {
		return fmt.Errorf("parse detect state: %w", err)
	}
	m.adopt(s)
	return nil
}

// readPart reads what stands behind its length.
func readPart(in *bufio.Reader) ([]byte, error) {
	n, err := binary.ReadUvarint(in)
	if err == nil {
		err = fits(n)
	}
	if err != nil {
		return nil, fmt.Errorf("read detect state: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err == nil && uint64(len(b)) < n {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("read detect state: %w", err)
	}
	return b, nil
}

func (m *Machine) adopt(s state) {
	set := m.set
	if s.Blob != nil {
		var err error
		if set, err = m.opt.Compile(s.Blob); err != nil {
			set = nil
			m.sum.RefusedRules++
			m.opt.Log.Error("rules of the snapshot do not compile; the state is kept and no rule is in force until the configured ones are", zap.Error(err))
		}
	}
	m.state = s
	m.install(set, time.Time{})
}

// check refuses what no machine writes, and completes empty maps.
func (s *state) check() error {
	if s.Rules == nil || s.Policies == nil {
		return errors.New("a part is missing")
	}
	for id, r := range s.Rules {
		if r == nil || !r.sound() {
			return fmt.Errorf("rule %q: a part is missing", id)
		}
	}
	if !s.Health.sound() {
		return errors.New("health: a part is missing")
	}
	if !s.Risk.sound() {
		return errors.New("risk: a part is missing")
	}
	if !whole(s.Exceptions) {
		return errors.New("an exception: a part is missing")
	}
	for id, p := range s.Policies {
		if p == nil || !p.sound() {
			return fmt.Errorf("policy %q: a part is missing", id)
		}
	}
	return nil
}

func (r *ruleState) sound() bool {
	r.Quiet, r.Upstream = filled(r.Quiet), filled(r.Upstream)
	return whole(r.Quiet) && whole(r.Upstream)
}

func (p *policyState) sound() bool {
	p.Open, p.Covered = filled(p.Open), filled(p.Covered)
	return whole(p.Open)
}

func filled[K comparable, V any](m map[K]V) map[K]V {
	if m == nil {
		return map[K]V{}
	}
	return m
}

func whole[K comparable, V any](m map[K]*V) bool {
	for _, v := range m {
		if v == nil {
			return false
		}
	}
	return true
}

// StateHash is the hash of the state: equal for equal states, however reached.
func (m *Machine) StateHash() event.ID {
	h := sha256.New()
	if err := m.Snapshot(h); err != nil {
		return event.ID{} // a hash never refuses a write
	}
	var id event.ID
	copy(id[:], h.Sum(nil))
	return id
}

// Stats counts what the machine did since it was made; not part of the state.
type Stats struct {
	Frames, Events, Alerts uint64
	PolicyChecks           uint64
	Diverged               uint64 // replayed frames whose alerts differ from those stored
	RefusedRules           uint64 // rules of a frame or a snapshot that did not compile
	Ready                  bool   // policies are looking
	RiskEvicted            uint64 // apps and actors whose risk was dropped because there were too many
	OpenFindings           int    // open alerts of policies
	Rules                  []RuleStats
}

// RuleStats counts for one rule or policy.
type RuleStats struct {
	ID                               string
	Evaluations, Matches, Suppressed uint64
	Excepted                         uint64 // matches that an exception took out
	Fired                            uint64 // alerts, whether they left or the rule only watches
	Evicted                          uint64 // keys dropped because there were too many
	Keys                             int    // keys held now
	WarmingUp                        uint64 // matches not judged since their baseline had too few samples
	Estimated                        int    // windows held now whose different values are estimated
	LastSeen, LastMatch              time.Time
	Samples                          uint64        // evaluations that were timed
	Spent                            time.Duration // by those
}

// Stats returns the counts, rules sorted by id.
func (m *Machine) Stats() Stats {
	s := m.sum
	s.Ready, s.RiskEvicted = m.state.Ready, m.state.Risk.Evicted
	set := m.set
	if set == nil {
		set = &rule.Set{}
	}
	for _, id := range sortedKeys(m.stats) {
		r := *m.stats[id]
		inForce := ruleOf(set, id)
		m.seenBy(&inForce, &r)
		if st := m.state.Rules[id]; st != nil {
			r.Keys = st.keys()
			if st.baseline != nil {
				r.Estimated = st.baseline.many.used
			}
		}
		if st := m.state.Policies[id]; st != nil {
			r.Keys = len(st.Open) + len(st.Covered)
			s.OpenFindings += len(st.Open)
		}
		s.Rules = append(s.Rules, r)
	}
	return s
}

// compile is rule.Compile with its diagnostics as one error.
func compile(blob *event.RulesBlob) (*rule.Set, error) {
	set, diags := rule.Compile(blob)
	if diags.HasErrors() {
		return nil, diags
	}
	return set, nil
}
