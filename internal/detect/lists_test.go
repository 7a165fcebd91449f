package detect

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestListsLikeAMap runs operations on a table and on a map of slices; keys share
// their first bytes, so that they meet.
func TestListsLikeAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var l lists[int64]
		model := map[hash][]int64{}
		key := rapid.Custom(func(t *rapid.T) hash {
			return hash{rapid.ByteRange(0, 9).Draw(t, "home"), 8: rapid.ByteRange(0, 3).Draw(t, "rest")}
		})
		for range rapid.IntRange(1, 200).Draw(t, "operations") {
			k := key.Draw(t, "key")
			switch rapid.IntRange(0, 3).Draw(t, "operation") {
			case 0:
				items := rapid.SliceOfN(rapid.Int64(), 0, 20).Draw(t, "items")
				l.put(k, items)
				if model[k] = items; len(items) == 0 {
					delete(model, k)
				}
			case 1:
				l.drop(k)
				delete(model, k)
			default:
				x := rapid.Int64().Draw(t, "item")
				l.push(k, x)
				model[k] = append(slices.Clone(model[k]), x)
			}
			total := 0
			for k, want := range model {
				if total += len(want); !slices.Equal(l.get(k), want) {
					t.Fatalf("list %v, want %v", l.get(k), want)
				}
			}
			if l.used != len(model) || l.total != total || len(l.sorted()) != len(model) {
				t.Fatalf("%d keys and %d items, want %d and %d", l.used, l.total, len(model), total)
			}
		}
		l.compact()
		var w, again writer
		writeLists(&w, &l, writeTime)
		back := readLists(&reader{b: w.b}, readTime)
		writeLists(&again, &back, writeTime)
		if !bytes.Equal(w.b, again.b) || back.used != len(model) {
			t.Fatal("a table is not what was written")
		}
	})
}

func TestEvictionTakesTheOldestThenTheFirstByKey(t *testing.T) {
	var l lists[int64]
	for k, age := range map[hash]int64{{1}: 1, {3}: 2, {2}: 2, {4}: 9} {
		l.put(k, []int64{age})
	}
	if n := l.evict(3, latest); n != 1 || l.get(hash{1}) != nil {
		t.Errorf("%d evicted, %v left; want the oldest to go", n, l.sorted())
	}
	if n := l.evict(2, latest); n != 1 || l.get(hash{2}) != nil {
		t.Errorf("%d evicted, %v left; of one age the first by key goes", n, l.sorted())
	}
	if diff := cmp.Diff([]hash{{3}, {4}}, l.sorted()); diff != "" {
		t.Error(diff)
	}
}

func keyOf(i int) hash {
	return hashOf(binary.BigEndian.AppendUint64([]byte("a key of the usual length, "), uint64(i)))
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestAMillionWindowsFit: what one key costs, all told.
func TestAMillionWindowsFit(t *testing.T) {
	const keys, bar = 1_000_000, 160
	var l lists[hit]
	before := heap()
	for i := range keys {
		count(&l, keyOf(i), hit{T: int64(i)}, span{within: 1e9, keep: 100})
	}
	each := float64(heap()-before) / keys
	t.Logf("%.0f bytes per key", each)
	if each > bar {
		t.Errorf("%.0f bytes per key, at most %d", each, bar)
	}
	runtime.KeepAlive(&l)
}

// An attacker chooses a million keys: the table stays within its bound.
func TestAMillionHostileKeysAreBounded(t *testing.T) {
	const limit = 10_000
	var l lists[hit]
	evicted := uint64(0)
	for i := range 1_000_000 {
		count(&l, keyOf(i), hit{T: int64(i)}, span{within: 1e9, keep: 100})
		evicted += l.evict(limit, newest)
	}
	if l.used > limit || evicted < 980_000 || len(l.pool) > 2*limit || len(l.slots) > 4*limit {
		t.Errorf("%d keys, %d evicted, %d hits, %d slots", l.used, evicted, len(l.pool), len(l.slots))
	}
}

func BenchmarkWindowUpdate(b *testing.B) {
	for _, keys := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			var l lists[hit]
			s := span{within: 1000, keep: 76}
			key := make([]byte, 40)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				binary.BigEndian.PutUint64(key, uint64(i*2654435761)%uint64(keys))
				count(&l, hashOf(key), hit{T: int64(i)}, s)
				l.evict(keys, newest)
				i++
			}
			b.ReportMetric(float64(l.used), "keys")
		})
	}
}
