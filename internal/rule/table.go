package rule

import "slices"

// table finds texts of ASCII, ignoring case, without a copy and without keys of its
// own: it is made of constants of rules alone, so what an event asks for walks a
// chain that was there before it.
type table struct {
	slots []slot // their number is a power of two, at least twice that of the texts
	texts []string
	masks [][]mask
}

type slot struct {
	tag uint32 // of the hash
	at  uint32 // 1 + place of the text, 0 = free
}

// newTable takes the texts of ASCII of all.
func newTable(all map[string][]mask) table {
	t := table{slots: make([]slot, 1)}
	for text, masks := range all {
		if _, ascii := hashFold(text); ascii {
			t.texts, t.masks = append(t.texts, text), append(t.masks, masks)
		}
	}
	for len(t.slots) < 2*len(t.texts) {
		t.slots = make([]slot, 2*len(t.slots))
	}
	for i, text := range t.texts {
		h, _ := hashFold(text)
		at := t.begin(h)
		for t.slots[at].at != 0 {
			at = (at + 1) % len(t.slots)
		}
		t.slots[at] = slot{uint32(h), uint32(i + 1)}
	}
	return t
}

func (t *table) begin(h uint64) int { return int(h>>32) & (len(t.slots) - 1) }

// get finds s; ascii is false where s is no text of ASCII and so was not looked for.
func (t *table) get(s string) (masks []mask, ascii bool) {
	h, ascii := hashFold(s)
	if !ascii || len(t.texts) == 0 {
		return nil, ascii
	}
	for at := t.begin(h); ; at = (at + 1) & (len(t.slots) - 1) {
		switch x := t.slots[at]; {
		case x.at == 0:
			return nil, true
		case x.tag == uint32(h) && equalLower(s, t.texts[x.at-1]):
			return t.masks[x.at-1], true
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x80 * ones
)

// eight are the eight bytes of s from i on.
func eight(s string, i int) uint64 {
	s = s[i : i+8]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 | uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// few are the bytes of a text shorter than eight.
func few(s string) uint64 {
	w := uint64(0)
	for i := range len(s) {
		w |= uint64(s[i]) << (8 * i)
	}
	return w
}

// lower makes the capitals among eight bytes of ASCII small.
func lower(w uint64) uint64 {
	capital := (w + (0x80-'A')*ones) &^ (w + (0x80-'Z'-1)*ones) & highs
	return w | capital>>2
}

// hashFold is equal for texts of ASCII that differ in case alone.
func hashFold(s string) (h uint64, ascii bool) {
	const odd = 0x9e3779b97f4a7c15
	h = uint64(len(s)) * odd
	if len(s) < 8 {
		w := few(s)
		h = (h ^ lower(w)) * odd
		return h ^ h>>29, w&highs == 0
	}
	all := uint64(0)
	for i := 0; i < len(s)-8; i += 8 {
		w := eight(s, i)
		all |= w
		h = (h ^ lower(w)) * odd
		h ^= h >> 29
	}
	w := eight(s, len(s)-8)
	h = (h ^ lower(w)) * odd
	return h ^ h>>29, (all|w)&highs == 0
}

// equalLower reports whether s, of ASCII, is folded text but for case.
func equalLower(s, folded string) bool {
	if len(s) != len(folded) {
		return false
	}
	if len(s) < 8 {
		return lower(few(s)) == few(folded)
	}
	for i := 0; i < len(s)-8; i += 8 {
		if lower(eight(s, i)) != eight(folded, i) {
			return false
		}
	}
	return lower(eight(s, len(s)-8)) == eight(folded, len(s)-8)
}

// mask is up to 64 places whose rules are marked at once.
type mask struct {
	word int32
	bits uint64
}

// masksOf are the places of a list, sorted.
func masksOf(places []int32) []mask {
	places = slices.Clone(places)
	slices.Sort(places)
	var out []mask
	for _, p := range places {
		if n := len(out); n == 0 || out[n-1].word != p>>6 {
			out = append(out, mask{word: p >> 6})
		}
		out[len(out)-1].bits |= 1 << (p & 63)
	}
	return slices.Clip(out)
}
