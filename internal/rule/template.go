package rule

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of texts made from fields.
const (
	maxValue = 256  // characters that one value gives
	maxMade  = 1024 // characters of the whole
)

const unknownText = "(unknown)"

// template compiles "text ${expression}"; a template with no expression in it
// is a constant. A made text is always known: an unknown part says so.
func (c *checker) template(e *hclsyntax.TemplateExpr) node {
	if v, ok := literalText(e); ok {
		s := v.(string)
		if utf8.RuneCountInString(s) > maxText {
			return c.fail(e.Range(), "limit_exceeded", "String too long", "At most %d characters are allowed.", maxText)
		}
		return constString(s)
	}
	n := node{kind: kindString, cost: 50, konst: true}
	parts := make([]func(*Env) string, 0, len(e.Parts))
	bad := false
	for _, x := range e.Parts {
		p := c.expr(x)
		bad = bad || p.kind == kindBad
		n.konst = n.konst && p.konst
		if _, literal := x.(*hclsyntax.LiteralValueExpr); literal && p.kind == kindString {
			parts = append(parts, raw(p))
			continue
		}
		parts = append(parts, c.show(p))
	}
	if bad {
		return node{kind: kindBad}
	}
	n.str = func(env *Env) (string, bool) { return build(parts, env), true }
	return n
}

func build(parts []func(*Env) string, env *Env) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p(env))
	}
	return tame(b.String(), maxMade)
}

// raw is the text of the rule's author.
func raw(n node) func(*Env) string {
	return func(env *Env) string { s, _ := n.str(env); return s }
}

// show turns a value into text. Strings of the provider are data: line ends
// are folded, control and formatting characters dropped, length capped.
func (c *checker) show(n node) func(*Env) string {
	zone := c.zone
	switch n.kind {
	case kindBool:
		return func(env *Env) string {
			return [...]string{"false", "true", unknownText}[n.truth(env)]
		}
	case kindInt, kindDuration, kindTime:
		return func(env *Env) string {
			v, ok := n.num(env)
			if !ok {
				return unknownText
			}
			return numberText(n.kind, v, zone)
		}
	case kindString:
		return func(env *Env) string {
			s, ok := n.str(env)
			if !ok {
				return unknownText
			}
			return tame(s, maxValue)
		}
	case kindSet, kindPermissions:
		return func(env *Env) string {
			s, ok := n.set(env)
			if !ok {
				return unknownText
			}
			return setText(&s)
		}
	case kindBad:
	default:
		c.fail(n.rng, "wrong_type", "Wrong type", "%s cannot be put into a text.", capital(n.kind.a()))
	}
	return func(*Env) string { return "" }
}

func numberText(k kind, v int64, zone *time.Location) string {
	switch k {
	case kindDuration:
		return durationText(time.Duration(v))
	case kindTime:
		return time.Unix(0, v).In(zone).Format(time.RFC3339)
	}
	return strconv.FormatInt(v, 10)
}

// durationText rounds to what a reader needs: days from two days on.
func durationText(d time.Duration) string {
	if d >= 48*time.Hour {
		return strconv.FormatInt(int64(d/(24*time.Hour)), 10) + " days"
	}
	return d.Round(time.Second).String()
}

const maxShown = 10 // elements of a set

func setText(s *set) string {
	var b strings.Builder
	shown, left := 0, 0
	for i := range s.len() {
		v, ok := s.at(i)
		if !ok {
			continue
		}
		if shown == maxShown {
			left++
			continue
		}
		if shown++; shown > 1 {
			b.WriteString(", ")
		}
		b.WriteString(tame(v, maxValue))
	}
	if left > 0 {
		b.WriteString(" and " + strconv.Itoa(left) + " more")
	}
	return b.String()
}

// tame makes a provider's string fit one line of plain text of limit
// characters.
func tame(s string, limit int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range s {
		if n >= limit {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsSpace(r), r == '\u2028', r == '\u2029':
			space = true
			continue
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == utf8.RuneError:
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
			n++
		}
		space = false
		b.WriteRune(r)
		n++
	}
	return b.String()
}
