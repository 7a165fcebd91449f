package rule

import (
	"cmp"
	"slices"
	"sort"
)

// bounds are the numbers that a value must reach, the lowest first. For numbers
// that it must not exceed all are negated, bit by bit.
type bounds struct {
	list []bound
	step int
	sums [][]mask // of each step bounds, with all before
}

type bound struct {
	num   int64
	place int32
}

// boundSums is how many sums of bounds are kept.
const boundSums = 64

func (b *bounds) finish() {
	slices.SortStableFunc(b.list, func(x, y bound) int { return cmp.Compare(x.num, y.num) })
	b.step = max(16, (len(b.list)+boundSums-1)/boundSums)
	places := make([]int32, 0, len(b.list))
	for i := range b.list {
		places = append(places, b.list[i].place)
		if len(places)%b.step == 0 {
			b.sums = append(b.sums, masksOf(places))
		}
	}
}

// reach marks the places whose bound v reaches.
func (b *bounds) reach(m *Matcher, v int64) {
	if len(b.list) == 0 || b.list[0].num > v {
		return
	}
	n := sort.Search(len(b.list), func(i int) bool { return b.list[i].num > v })
	whole := n / b.step
	if whole > 0 {
		m.mark(b.sums[whole-1])
	}
	for i := whole * b.step; i < n; i++ {
		m.one(b.list[i].place)
	}
}
