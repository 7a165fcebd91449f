package deliver

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// Problem is one mistake in the configuration of a sink. Field is the attribute
// as written in HCL, with the block before it: "sasl.username".
type Problem struct {
	Field, Text, Advice string
	Secret              bool // the attribute is one: its line is not to be shown

	Wrote string   // what stands for one of Known, misspelt perhaps; "" = nothing of the kind
	Known []string // what may stand there
}

// Error is "field: text".
func (p Problem) Error() string { return p.Field + ": " + p.Text }

// Problems collects mistakes.
type Problems []Problem

// Must notes a mistake unless ok.
func (p *Problems) Must(ok bool, field, text, advice string) {
	if !ok {
		*p = append(*p, Problem{Field: field, Text: text, Advice: advice})
	}
}

// Literal notes a mistake where an attribute that is a secret is written into
// the configuration.
func (p *Problems) Literal(literal bool, field, advice string) {
	if literal {
		*p = append(*p, Problem{Field: field, Text: "is written into the configuration", Advice: advice, Secret: true})
	}
}

// OneOf notes a mistake unless value is empty or one of allowed.
func (p *Problems) OneOf(field, value string, allowed ...string) {
	for _, a := range append(allowed, "") {
		if value == a {
			return
		}
	}
	*p = append(*p, Problem{Field: field, Text: fmt.Sprintf("%q is none of %q", value, allowed), Wrote: value, Known: allowed})
}

// Duration notes a mistake unless text is empty or a duration of at least least.
func (p *Problems) Duration(field, text string, least time.Duration) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	p.Must(err == nil && d >= least, field, fmt.Sprintf("%q is not a duration of at least %s", text, least), `write "10s" or "1m"`)
}

// HostPort notes a mistake unless text is host:port.
func (p *Problems) HostPort(field, text, advice string) {
	host, port, err := net.SplitHostPort(text)
	p.Must(err == nil && host != "" && port != "", field, fmt.Sprintf("%q is not host:port", text), advice)
}

// Pair notes a mistake where one of two attributes that belong together is
// missing.
func (p *Problems) Pair(field string, one, other bool, advice string) {
	p.Must(one == other, field, "is given without its other half, or the other half without it", advice)
}

// Err is all mistakes as one error, nil without any.
func (p Problems) Err() error {
	var errs []error
	for _, x := range p {
		errs = append(errs, x)
	}
	return errors.Join(errs...)
}

// DurationOr is text as a duration, or fallback where it is empty or wrong.
func DurationOr(text string, fallback time.Duration) time.Duration {
	if d, err := time.ParseDuration(text); err == nil {
		return d
	}
	return fallback
}
