package event

import (
	"fmt"
	"time"
)

// Page is one answer of a source, normalised, in order of event time.
type Page struct {
	Events      []Event
	Objects     []Object
	Rollups     []Rollup // calls that the source or ingest sums up in place of Events; sorted by key, none twice
	Sync        *Sync
	Quarantined []Quarantine
	Gaps        []Gap

	Fetched int    // records that the answer held: equals events + objects + quarantined + seen + sums of Rollups[i].Calls and Gaps[i].Records
	Seen    int    // records that the source itself knew to be read before, and left out
	Cursor  []byte // the source's cursor after this page: opaque to everybody else
	// CompleteThrough: every record of this source with an earlier time has been
	// read, as far as the source's lateness allows. Zero = unchanged.
	CompleteThrough time.Time
	Wait            time.Duration // before the next Read; 0 = at once
	Open            []Gap         // what is given up at the moment, this page's Gaps included: not stored
}

// Quarantine is a record that could not be decoded, with a reason that a
// person understands.
type Quarantine struct {
	Source string
	Reason string // closed vocabulary, the metric label: "no_time", "no_id", "not_json", "not_an_object", "wrong_type", "too_large", "unknown_shape", "other_tenant"
	Detail string
	Raw    []byte // capped at 64 KiB
}

// Gap says that something was not read. What the source does not ask for again
// by itself never will be.
type Gap struct {
	Source   string
	From, To time.Time
	Records  int // of the page at hand that were skipped; 0 = unknown
	Reason   string
	Advice   string // what somebody can do who wants to know what happened then, for the alarm
}

// Account adds up what a source fetched: Fetched = New + Seen + Quarantined + Gap.
type Account struct {
	Fetched, New, Seen, Quarantined, Gap uint64
}

// Balanced reports whether the account adds up.
func (a Account) Balanced() bool { return a.Fetched == a.New+a.Seen+a.Quarantined+a.Gap }

// Add returns the sum of two accounts.
func (a Account) Add(b Account) Account {
	return Account{a.Fetched + b.Fetched, a.New + b.New, a.Seen + b.Seen, a.Quarantined + b.Quarantined, a.Gap + b.Gap}
}

// FrameKind says what a frame holds.
type FrameKind uint8

// Kinds of frames.
const (
	FramePage   FrameKind = iota + 1 // one page of one source
	FrameTick                        // time for the detect machine
	FrameRules                       // the rules in force from here on
	FrameHealth                      // health alerts of the daemon itself
	FrameRestart
	FrameWarmed // rules that have learned from the history speak from here on
	FrameInput  // what became of records that could not be decoded at first
	FrameNotify // what became of the groups of alerts of one sink, or of a silence
)

// Read reports whether frames of the kind hold events that were read from a source.
func (k FrameKind) Read() bool { return k == FramePage || k == FrameInput }

// String names the kind.
func (k FrameKind) String() string {
	names := [...]string{"", "page", "tick", "rules", "health", "restart", "warmed", "input", "notify"}
	if k == 0 || int(k) >= len(names) {
		return fmt.Sprintf("kind %d", uint8(k))
	}
	return names[k]
}

// Frame is the unit of the ledger: all or nothing.
type Frame struct {
	LSN  uint64 // given by the ledger
	Kind FrameKind
	Time time.Time // wall clock at append: information only, never order

	// FramePage
	Source      string
	Mark        []byte // Page.Cursor
	Account     Account
	Events      []Event // read ones first, then Derived ones
	Objects     []Object
	Rollups     []Rollup // the calls of the page that are not kept one by one
	Sync        *Sync
	Quarantined []Quarantine
	Gaps        []Gap

	// CompleteThrough per source key, sorted by source: on pages the one source,
	// on ticks all of them.
	CompleteThrough []SourceTime

	Rules  *RulesBlob // FrameRules
	Warmed []Warmed   // FrameWarmed

	Verdicts []Verdict // FrameInput
	Notify   []byte    // FrameNotify: an operation of package route, in its own encoding

	Alerts    []Alert
	AlertBase uint64 // number of alerts in all frames before this one; given by the ledger
}

// Verdict settles a record that could not be decoded: the one at Index of the
// quarantine of frame LSN.
type Verdict struct {
	LSN     uint64
	Index   uint32
	Outcome string // OutcomeRead, OutcomeSuperseded or OutcomeDropped
	Reason  string // why a human dropped it; "" for the others
}

// Outcomes of a record that could not be decoded, beside OutcomeDropped.
const (
	OutcomeRead       = "read"       // it was decoded when it was tried again
	OutcomeSuperseded = "superseded" // it can be decoded, and is of the inventory, which its source reads anew
)

// SourceTime is one source's watermark.
type SourceTime struct {
	Source string
	Time   time.Time
}

// Warmed is what a rule remembers of the history before its frame. The state is in
// the form of the machine that detects; empty = it begins with nothing.
type Warmed struct {
	Rule  string
	State []byte
}

// RulesBlob is everything that detection depends on beside events: file texts
// of rules, lists and tiers, by path, sorted.
type RulesBlob struct {
	Engine string // version of the engine that may interpret it
	Files  []RulesFile
	Zone   string   // the tenant's time zone name
	Own    []string // client ids by which appgovd itself reads tenants, sorted
}

// RulesFile is one file of a RulesBlob.
type RulesFile struct {
	Path string
	Text []byte
}

// Position is a place between alerts in the ledger: Index alerts of frame LSN
// are behind it.
type Position struct {
	LSN   uint64
	Index uint32
}

// Settled counts what became of alerts since a reader's last acknowledgement.
type Settled struct {
	Accepted   uint64 // by the destination
	DeadLetter uint64
	Skipped    uint64 // routed elsewhere
	Grouped    uint64 // they joined groups, which are told by notices
	Notify     uint64 // number of the notify frame that tells of Grouped, 0 = none was grouped
}

// Total is the sum.
func (s Settled) Total() uint64 { return s.Accepted + s.DeadLetter + s.Skipped + s.Grouped }

// DeadLetter is one alert that a sink refused for good; with an Outcome it tells
// instead what became of the one with that ID.
type DeadLetter struct {
	Sink     string
	Time     time.Time
	Reason   string // the server's own words, or why a human settled it, capped at 4 KiB
	Attempts int
	Position Position // of the alert in the ledger
	Alert    Alert
	ID       ID     // of the letter; zero = Identity gives it
	Outcome  string // OutcomeDelivered or OutcomeDropped; "" = it waits for a human
}

// Outcomes of a dead letter.
const (
	OutcomeDelivered = "delivered" // the sink took it when it was tried again
	OutcomeDropped   = "dropped"   // a human, or its age, settled it
)

// Identity is what the letter is known by: an alert that a sink refuses twice is one
// letter.
func (d *DeadLetter) Identity() ID {
	switch {
	case d.ID != ID{}:
		return d.ID
	case d.Alert.DeliveryID != ID{}:
		return NewID("dead letter", d.Sink, d.Alert.DeliveryID.String())
	}
	return NewID("dead letter", string(AppendDeadLetter(nil, d)))
}
