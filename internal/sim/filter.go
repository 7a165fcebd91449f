package sim

import (
	"fmt"
	"strings"
	"time"
)

// clause is one comparison of a $filter: clauses are joined by "and".
type clause struct {
	field, op, value string
	quoted           bool
}

// parseFilter reads the part of OData's filter language that is simulated:
// comparisons joined by "and", and any() over signInEventTypes.
func parseFilter(s string) ([]clause, error) {
	var out []clause
	for part := range strings.SplitSeq(s, " and ") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		cl, err := parseClause(part)
		if err != nil {
			return nil, err
		}
		out = append(out, cl)
	}
	return out, nil
}

// parseAlternatives reads filters joined by "or", each as parseFilter does.
// Documented for the directory; the logs refuse it here.
func parseAlternatives(s string) ([][]clause, error) {
	var out [][]clause
	for part := range strings.SplitSeq(s, " or ") {
		clauses, err := parseFilter(part)
		if err != nil {
			return nil, err
		}
		out = append(out, clauses)
	}
	return out, nil
}

func parseClause(s string) (clause, error) {
	if inner, ok := strings.CutPrefix(s, "signInEventTypes/any("); ok {
		inner, closed := strings.CutSuffix(inner, ")")
		variable, rest, _ := strings.Cut(inner, ":")
		cl, err := parseClause(strings.TrimSpace(rest))
		if err != nil || !closed || cl.field != strings.TrimSpace(variable) {
			return clause{}, refusalf("Invalid filter clause: %q", s)
		}
		cl.field = "signInEventTypes"
		return cl, nil
	}
	words := strings.SplitN(s, " ", 3)
	if len(words) != 3 {
		return clause{}, refusalf("Invalid filter clause: %q", s)
	}
	cl := clause{field: words[0], op: words[1], value: words[2]}
	if len(cl.value) >= 2 && cl.value[0] == '\'' && cl.value[len(cl.value)-1] == '\'' {
		inner := strings.ReplaceAll(cl.value[1:len(cl.value)-1], "''", "\x00")
		if strings.Contains(inner, "'") {
			return clause{}, refusalf("Invalid filter clause: %q", s)
		}
		cl.value, cl.quoted = strings.ReplaceAll(inner, "\x00", "'"), true
	}
	if !cl.quoted && strings.ContainsAny(cl.value, " '()") {
		return clause{}, refusalf("Invalid filter clause: %q", s)
	}
	return cl, nil
}

// narrow applies a comparison of time to a range of Unix nanoseconds.
// Documented: ge, le and eq; a quoted date is refused (reported). gt and lt
// are not documented for the logs; reported is that the service ignores them
// without a word, and so does this: the cruelest reading.
func (cl clause) narrow(from, to *int64) error {
	t, err := time.Parse(time.RFC3339Nano, cl.value)
	if err != nil || cl.quoted {
		return refusalf("Invalid filter clause: %s is not a date", cl.field)
	}
	switch cl.op {
	case "ge":
		*from = max(*from, t.UnixNano())
	case "le":
		*to = min(*to, t.UnixNano())
	case "eq":
		*from, *to = t.UnixNano(), t.UnixNano()
	case "gt", "lt":
	default:
		return refusalf("Invalid filter clause: operator %q is not supported", cl.op)
	}
	return nil
}

// strictly narrows like narrow, and takes gt and lt at their word. Documented
// for alerts_v2.
func (cl clause) strictly(from, to *int64) error {
	if err := cl.narrow(from, to); err != nil {
		return err
	}
	t, _ := time.Parse(time.RFC3339Nano, cl.value)
	switch cl.op {
	case "gt":
		*from = max(*from, t.UnixNano()+1)
	case "lt":
		*to = min(*to, t.UnixNano()-1)
	}
	return nil
}

// refusal is the text of a refused question, in the service's own words.
type refusal string

// Error is that text.
func (r refusal) Error() string { return string(r) }

func refusalf(format string, args ...any) error { return refusal(fmt.Sprintf(format, args...)) }

// unsupported refuses a filter that is not simulated. Assumed text.
func unsupported(cl clause) error {
	return refusalf("Invalid filter clause: property %q is not supported", cl.field)
}

// eventKind is the stream that a filter on signInEventTypes means. Reported:
// only one type at a time.
func eventKind(cl clause) (kind, error) {
	for _, k := range []kind{kindInteractive, kindNonInteractive, kindServicePrincipal, kindManagedIdentity} {
		if cl.op == "eq" && cl.quoted && cl.value == k.eventType() {
			return k, nil
		}
	}
	return 0, refusalf("Invalid filter clause: sign-in event type %q", cl.value)
}
