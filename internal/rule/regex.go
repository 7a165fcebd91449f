package rule

import (
	"math/bits"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// regex is a compiled regular expression that ignores case. Where it is small and asks
// for nothing between words or lines, texts of ASCII go through a table, a step for each
// byte; Go's own package takes the others.
type regex struct {
	*regexp.Regexp
	table *transitions // nil = none
}

// compileRegex also says in how many steps p is compiled: what memory it takes, and
// time per character of a text. One with more than maxRegex is not compiled.
func compileRegex(p string) (*regex, int, error) {
	prog, err := compileProgram(p)
	if err != nil {
		return nil, 0, err
	}
	steps := len(prog.Inst)
	if steps > maxRegex {
		return nil, steps, nil
	}
	folded := "(?i:" + p + ")"
	re, err := regexp.Compile(folded)
	if err != nil {
		return nil, steps, err
	}
	if prog, err = compileProgram(folded); err != nil {
		return nil, steps, err
	}
	return &regex{re, newTransitions(prog)}, steps, nil
}

func compileProgram(p string) (*syntax.Prog, error) {
	parsed, err := syntax.Parse(p, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return syntax.Compile(parsed.Simplify())
}

// MatchString reports whether s holds a match.
func (r *regex) MatchString(s string) bool {
	if r.table != nil {
		if yes, known := r.table.match(s); known {
			return yes
		}
	}
	return r.Regexp.MatchString(s)
}

// transitions is the deterministic automaton of a regular expression over ASCII. State
// matched is where a match was found, and stays so.
type transitions struct {
	class [utf8.RuneSelf]uint8 // of a byte: bytes of one class lead to the same states
	next  []uint8              // by state, then by class
	width int                  // classes
	ends  []bool               // by state: a text that ends here holds a match
	start uint8
}

const (
	matched        = 0
	maxTable       = 128 // steps of a program that gets a table
	maxStates      = 100
	maxTransitions = 4096 // bytes
)

// match reports whether s holds a match; that is not known of a text with other than
// ASCII.
func (t *transitions) match(s string) (yes, known bool) {
	at := t.start
	for i := range len(s) {
		b := s[i]
		if b >= utf8.RuneSelf {
			return false, false
		}
		if at = t.next[int(at)*t.width+int(t.class[b])]; at == matched {
			return true, true
		}
	}
	return t.ends[at], true
}

// newTransitions is nil for a program that is long, that asks for borders of words or
// lines, or whose table would be large.
func newTransitions(p *syntax.Prog) *transitions {
	const supported = syntax.EmptyBeginText | syntax.EmptyEndText
	if len(p.Inst) > maxTable {
		return nil
	}
	b := subsets{prog: p, number: map[pcs]uint8{}, t: &transitions{}}
	for i := range p.Inst {
		in := &p.Inst[i]
		if in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&^supported != 0 {
			return nil
		}
		b.behind = append(b.behind, b.from(in.Out, 0))
	}
	b.again = b.from(uint32(p.Start), 0)
	b.classes()
	b.push(pcs{}, true) // matched
	if first := b.from(uint32(p.Start), syntax.EmptyBeginText); !b.matches(first) {
		b.t.start = b.push(first, b.matches(b.from(uint32(p.Start), supported)))
	}
	for at := 0; at < len(b.states); at++ {
		for _, takes := range b.takes {
			to, ok := b.step(at, takes)
			if !ok {
				return nil
			}
			b.t.next = append(b.t.next, to)
		}
	}
	return b.t
}

// pcs is a set of the instructions of a program.
type pcs [maxTable / 64]uint64

func (s *pcs) add(pc uint32)      { s[pc/64] |= 1 << (pc % 64) }
func (s *pcs) has(pc uint32) bool { return s[pc/64]>>(pc%64)&1 > 0 }

func (s *pcs) and(o pcs) {
	for i := range s {
		s[i] &= o[i]
	}
}

func (s *pcs) or(o pcs) {
	for i := range s {
		s[i] |= o[i]
	}
}

func (s *pcs) all(yield func(pc uint32) bool) {
	for i, word := range s {
		for ; word != 0; word &= word - 1 {
			if !yield(uint32(i*64 + bits.TrailingZeros64(word))) {
				return
			}
		}
	}
}

// subsets makes states of sets of a program's instructions.
type subsets struct {
	prog   *syntax.Prog
	behind []pcs         // by instruction: where one is once it has read
	again  pcs           // where a match begins that does not begin the text
	takes  []pcs         // by class: the instructions that take it
	states []pcs         // where one may be
	number map[pcs]uint8 // of a state behind the beginning
	t      *transitions
}

// from is all that is reached from an instruction without reading, where holds holds.
func (b *subsets) from(pc uint32, holds syntax.EmptyOp) (to pcs) {
	b.reach(&to, pc, holds)
	return to
}

func (b *subsets) reach(to *pcs, pc uint32, holds syntax.EmptyOp) {
	if to.has(pc) {
		return
	}
	to.add(pc)
	switch in := &b.prog.Inst[pc]; in.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		b.reach(to, in.Out, holds)
		b.reach(to, in.Arg, holds)
	case syntax.InstCapture, syntax.InstNop:
		b.reach(to, in.Out, holds)
	case syntax.InstEmptyWidth:
		if syntax.EmptyOp(in.Arg)&^holds == 0 {
			b.reach(to, in.Out, holds)
		}
	case syntax.InstFail, syntax.InstMatch, syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
	}
}

// classes tells bytes apart by which instructions take them.
func (b *subsets) classes() {
	for r := range rune(utf8.RuneSelf) {
		var takes pcs
		for i := range b.prog.Inst {
			if take(&b.prog.Inst[i], r) {
				takes.add(uint32(i))
			}
		}
		n := slices.Index(b.takes, takes)
		if n < 0 {
			n, b.takes = len(b.takes), append(b.takes, takes)
		}
		b.t.class[r] = uint8(n)
	}
	b.t.width = len(b.takes)
}

func take(in *syntax.Inst, r rune) bool {
	switch in.Op {
	case syntax.InstRune, syntax.InstRune1:
		return in.MatchRune(r)
	case syntax.InstRuneAny:
		return true
	case syntax.InstRuneAnyNotNL:
		return r != '\n'
	default:
		return false
	}
}

func (b *subsets) matches(s pcs) bool {
	for pc := range s.all {
		if b.prog.Inst[pc].Op == syntax.InstMatch {
			return true
		}
	}
	return false
}

// ends reports whether a text that ends at s holds a match.
func (b *subsets) ends(s pcs) bool {
	for pc := range s.all {
		if in := &b.prog.Inst[pc]; in.Op == syntax.InstEmptyWidth && b.matches(b.from(pc, syntax.EmptyEndText)) {
			return true
		}
	}
	return false
}

func (b *subsets) push(s pcs, ends bool) uint8 {
	b.states, b.t.ends = append(b.states, s), append(b.t.ends, ends)
	return uint8(len(b.states) - 1)
}

// step is the state behind one at which a byte is read; not ok when there would be too
// many states.
func (b *subsets) step(at int, takes pcs) (n uint8, ok bool) {
	if at == matched {
		return matched, true
	}
	takes.and(b.states[at])
	to := b.again
	for pc := range takes.all {
		to.or(b.behind[pc])
	}
	if b.matches(to) {
		return matched, true
	}
	n, ok = b.number[to]
	switch {
	case ok:
	case len(b.states) == maxStates || (len(b.states)+1)*b.t.width > maxTransitions:
		return 0, false
	default:
		n = b.push(to, b.ends(to))
		b.number[to] = n
	}
	return n, true
}
