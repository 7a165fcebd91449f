// Package fault owns the classes of failure and how to ask for them. An adapter
// classifies an error once; a room decides what follows. An unmarked error is
// transient.
package fault

import (
	"errors"
	"time"
)

// Class of a failure.
type Class uint8

// Classes of failure.
const (
	Transient Class = iota // try again with back-off
	Throttled              // try again after After
	Permanent              // this request will never work
	Auth                   // credentials, permission or licence: pause, tell a human
	Untrusted              // the other side points somewhere it must not: stop
)

// String is the metric label of c.
func (c Class) String() string {
	return [...]string{"transient", "throttled", "permanent", "auth", "untrusted"}[c]
}

type classed struct {
	err   error
	class Class
	after time.Duration
	hint  string
	why   Reason
}

// Reason is why nothing but another tenant, licence or cloud helps.
type Reason string

// Reasons; most failures have none.
const (
	NotLicensed Reason = "not_licensed"
	NotInCloud  Reason = "not_in_cloud"
)

// WithReason says why err happened and keeps the rest of it.
func WithReason(err error, why Reason) error {
	return &classed{err: err, class: Of(err), after: After(err), why: why}
}

// ReasonOf returns the reason nearest to the outside, or "".
func ReasonOf(err error) Reason {
	for err != nil {
		var c *classed
		if !errors.As(err, &c) {
			return ""
		}
		if c.why != "" {
			return c.why
		}
		err = c.err
	}
	return ""
}

func (e *classed) Error() string { return e.err.Error() }
func (e *classed) Unwrap() error { return e.err }

// NewPermanent marks err: this request will never work as it is.
func NewPermanent(err error) error { return &classed{err: err, class: Permanent} }

// NewAuth marks err: a human must mend credentials, permissions or licences.
func NewAuth(err error) error { return &classed{err: err, class: Auth} }

// NewUntrusted marks err: the peer tried to send us to a foreign origin.
func NewUntrusted(err error) error { return &classed{err: err, class: Untrusted} }

// NewThrottled marks err: ask again after the given time; 0 = unknown.
func NewThrottled(after time.Duration, err error) error {
	return &classed{err: err, class: Throttled, after: after}
}

// WithAfter says when err, of whatever class, is worth another try, and keeps its
// class and hint.
func WithAfter(err error, after time.Duration) error {
	return &classed{err: err, class: Of(err), after: after}
}

// WithHint adds advice for an operator and keeps the class of err.
func WithHint(err error, hint string) error {
	return &classed{err: err, class: Of(err), after: After(err), hint: hint}
}

// Of returns the class of err: that of the outermost marked error.
func Of(err error) Class {
	var c *classed
	if errors.As(err, &c) {
		return c.class
	}
	return Transient
}

// After returns how long to wait before the next try: of a throttled peer as it
// asked; 0 = nobody said.
func After(err error) time.Duration {
	var c *classed
	if errors.As(err, &c) {
		return c.after
	}
	return 0
}

// Hint returns the advice nearest to the outside, or "".
func Hint(err error) string {
	for err != nil {
		var c *classed
		if !errors.As(err, &c) {
			return ""
		}
		if c.hint != "" {
			return c.hint
		}
		err = c.err
	}
	return ""
}
