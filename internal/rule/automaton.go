package rule

import (
	"math/bits"
	"unicode/utf8"
)

// maxPart is how many bytes of a text are looked for: a longer one is found by its
// beginning, or by its end where it must stand at the end.
const maxPart = 24

// maxCells bounds the table of one automaton, in numbers of 4 bytes.
const maxCells = 8 << 20

// automaton finds many texts in one pass (Aho and Corasick, 1975), ignoring case.
// It is a table of the next state by state and class of byte; bytes that no text
// holds share class 0. It is built from constants of rules alone.
type automaton struct {
	class  [256]uint8 // of a folded byte, capitals of ASCII included
	shift  int        // a state's row has 1<<shift cells
	next   []int32    // row of a state + class -> row of the next; its complement where a pattern ends
	first  []int32    // state -> 1 + the longest pattern that ends there, 0 = none
	suffix []int32    // pattern -> 1 + the longest other pattern that ends where it does
	length []int32    // pattern -> bytes
}

// part is what an automaton looks for of a text.
func part(t *term) string {
	switch {
	case len(t.text) <= maxPart:
		return t.text
	case t.op == opSuffix:
		return t.text[len(t.text)-maxPart:]
	default:
		return t.text[:maxPart]
	}
}

// newAutomaton builds the automaton of different patterns, none of them empty. ok
// is false where the table would be too large.
func newAutomaton(patterns []string) (a *automaton, ok bool) {
	a = &automaton{suffix: make([]int32, len(patterns)), length: make([]int32, 0, len(patterns))}
	classes, total := 1, 1
	for _, p := range patterns {
		for i := range len(p) {
			if a.class[p[i]] == 0 {
				a.class[p[i]] = uint8(classes) // at most 230: folded texts have no capitals
				classes++
			}
		}
		a.length = append(a.length, int32(len(p)))
		total += len(p)
	}
	for c := 'A'; c <= 'Z'; c++ {
		a.class[c] = a.class[c+'a'-'A']
	}
	a.shift = bits.Len(uint(classes - 1))
	if total<<a.shift > maxCells {
		return nil, false
	}
	a.grow()
	for i, p := range patterns {
		a.add(int32(i), p)
	}
	a.link(classes)
	for i, row := range a.next {
		if a.first[row>>a.shift] != 0 {
			a.next[i] = ^row
		}
	}
	return a, true
}

// grow makes one more state.
func (a *automaton) grow() int32 {
	at := int32(len(a.next))
	a.next = append(a.next, make([]int32, 1<<a.shift)...)
	a.first = append(a.first, 0)
	return at
}

func (a *automaton) add(pattern int32, p string) {
	state := int32(0)
	for i := range len(p) {
		cell := state + int32(a.class[p[i]])
		if a.next[cell] == 0 {
			grown := a.grow()
			a.next[cell] = grown
		}
		state = a.next[cell]
	}
	a.first[state>>a.shift] = pattern + 1
}

// link turns the tree into the automaton, level by level: where a state has no
// child it goes where its longest proper suffix goes.
func (a *automaton) link(classes int) {
	fail := make([]int32, len(a.first))
	var queue []int32
	for c := range int32(classes) {
		if s := a.next[c]; s != 0 {
			queue = append(queue, s)
		}
	}
	for i := 0; i < len(queue); i++ {
		s := queue[i]
		back := fail[s>>a.shift]
		if here := &a.first[s>>a.shift]; *here == 0 {
			*here = a.first[back>>a.shift]
		} else {
			a.suffix[*here-1] = a.first[back>>a.shift]
		}
		for c := range int32(classes) {
			if child := a.next[s+c]; child != 0 {
				fail[child>>a.shift] = a.next[back+c]
				queue = append(queue, child)
			} else {
				a.next[s+c] = a.next[back+c]
			}
		}
	}
}

// scan visits the patterns in s: how often each is there, whether it begins s and
// whether it ends s.
func (a *automaton) scan(s string, visit func(pattern int32, first, last bool)) {
	state, at := int32(0), int32(0)
	var buf [utf8.UTFMax]byte
	for i := 0; i < len(s); {
		if b := s[i]; b < utf8.RuneSelf {
			i++
			at++
			if state = a.next[state+int32(a.class[b])]; state < 0 {
				state = ^state
				for p := a.first[state>>a.shift]; p != 0; p = a.suffix[p-1] {
					visit(p-1, a.length[p-1] == at, i == len(s))
				}
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		i += n
		folded := utf8.AppendRune(buf[:0], foldRune(r))
		for k, b := range folded {
			at++
			if state = a.next[state+int32(a.class[b])]; state < 0 {
				state = ^state
				for p := a.first[state>>a.shift]; p != 0; p = a.suffix[p-1] {
					visit(p-1, a.length[p-1] == at, i == len(s) && k == len(folded)-1)
				}
			}
		}
	}
}
