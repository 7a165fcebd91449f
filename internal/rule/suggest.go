package rule

import (
	"sort"
	"unicode/utf8"
)

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

// suggest is advice for a misspelt name, or "".
func suggest(name string, known []string) string {
	if len(name) > 100 {
		return ""
	}
	best, limit := "", max(2, utf8.RuneCountInString(name)/3)+1
	a := []rune(foldString(name))
	for _, k := range known {
		if d := distance(a, []rune(k), limit); d < limit {
			best, limit = k, d
		}
	}
	if best == "" {
		return ""
	}
	return " Did you mean \"" + best + "\"?"
}

// distance is the optimal string alignment distance (insert, delete, replace,
// swap neighbours), or limit when it is at least that.
func distance(a, b []rune, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	if len(b) >= maxAlign {
		return limit
	}
	var rows [3][maxAlign + 1]int
	before, above, here := &rows[0], &rows[1], &rows[2]
	for j := range len(b) + 1 {
		above[j] = j
	}
	for i := 1; i <= len(a); i++ {
		here[0] = i
		low := i
		for j := 1; j <= len(b); j++ {
			here[j] = step(a, b, i, j, before, above, here)
			low = min(low, here[j])
		}
		if low >= limit {
			return limit
		}
		before, above, here = above, here, before
	}
	return min(limit, above[len(b)])
}

// maxAlign is the longest text that is aligned, in characters.
const maxAlign = 128

func step(a, b []rune, i, j int, before, above, here *[maxAlign + 1]int) int {
	cost := 1
	if a[i-1] == b[j-1] {
		cost = 0
	}
	d := min(above[j]+1, here[j-1]+1, above[j-1]+cost)
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		d = min(d, before[j-2]+1)
	}
	return d
}
