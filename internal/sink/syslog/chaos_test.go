package syslog

import (
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
)

// breaking is a proxy whose connections break after a random number of bytes,
// with everything that lies in it and its sockets, and not any more once calm.
func breaking(t *testing.T, to string, random *rand.Rand, least, most int64) (address string, calm func()) {
	t.Helper()
	var mu sync.Mutex
	good := false
	p := listen(t, func(_ *receiver, _ int, c net.Conn) {
		mu.Lock()
		k := least + random.Int64N(most-least)
		if good {
			k = 1 << 40
		}
		mu.Unlock()
		on, err := net.Dial("tcp", to)
		if err != nil {
			return
		}
		small(c)
		small(on)
		_, _ = io.Copy(on, io.LimitReader(c, k))
		for _, conn := range []net.Conn{c, on} { // RST: nothing more is read or sent
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	})
	return p.address(), func() { mu.Lock(); good = true; mu.Unlock() }
}

// small bounds what the kernel holds of a connection: the window must be larger
// than that.
func small(c net.Conn) {
	_ = c.(*net.TCPConn).SetReadBuffer(64 << 10)
	_ = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
}

func TestConnectionsThatBreakAtRandomLoseNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := listen(t, func(r *receiver, _ int, c net.Conn) { small(c); _ = r.read(c) })
	address, calm := breaking(t, r.address(), rand.New(rand.NewPCG(seed, 0)), 2<<20, 4<<20)
	window := 1000
	s := sink(t, Config{Address: address, ResendWindow: &window}, func(out *stream) { out.grace = 5 * time.Millisecond })
	batch := sinktest.Batch(9000)
	failed := 0
	put := func(from, to int) {
		for s.Write(t.Context(), batch[from:to]) != nil {
			failed++
		}
	}
	for i := 0; i < len(batch); i += 100 {
		if i == len(batch)-1000 {
			calm()
		}
		select {
		case <-s.Lost():
			failed++
			put(0, 0)
		default:
		}
		put(i, i+100)
	}
	for limit := time.After(time.Minute); len(distinct(r.ids(0))) < len(batch); {
		select {
		case <-s.Lost():
			put(0, 0)
		case <-time.After(10 * time.Millisecond):
		case <-limit:
			t.Fatalf("%d of %d alerts", len(distinct(r.ids(0))), len(batch))
		}
	}
	want, got := sinktest.IDs(batch), r.ids(0)
	t.Logf("%d breaks, %d messages for %d alerts", failed, len(got), len(want))
	got = distinct(got)
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || failed == 0 {
		t.Errorf("%d breaks; ids (-sent +arrived):\n%s", failed, diff)
	}
}
