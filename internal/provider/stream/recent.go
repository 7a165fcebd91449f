package stream

import (
	"hash/maphash"
	"sync"
)

// recent knows which calls were summed up lately, so that one that is delivered again
// in another message counts once. It is bounded, and of one run only: it is emptied
// with everything that was read but not handed on. It is safe for concurrent use.
type recent struct {
	seed maphash.Seed
	most int // of young ones

	mu         sync.Mutex
	young, old map[uint64]struct{}
}

// recentCalls is how many calls are known at least: some 40 MB, half an hour of 500 a second.
const recentCalls = 1 << 19

func newRecent() *recent { return &recent{seed: maphash.MakeSeed(), most: recentCalls} }

// again reports whether a call was given before, by its id; "" is none.
func (r *recent) again(id string) bool {
	if r == nil || id == "" {
		return false
	}
	h := maphash.String(r.seed, id)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.young[h]; known {
		return true
	}
	_, known := r.old[h]
	if len(r.young) >= r.most {
		r.young, r.old = nil, r.young
	}
	if r.young == nil {
		r.young = map[uint64]struct{}{}
	}
	r.young[h] = struct{}{}
	return known
}
