package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// ReaderOptions of a reader that has no cursor yet, and how far it goes back at
// each start.
type ReaderOptions struct {
	FromStart    bool   // a new reader begins with the oldest frame, not with the next one
	ResendWindow uint64 // alerts that go out again after every start (destinations without acknowledgement)
	WhenFull     WhenFull
	Grouped      Grouped
}

// Grouped is what the last notify frame of a reader says: everything before Position
// is settled, and with what counts since the acknowledgement before. Where a crash
// came between that frame and its Ack, the reader begins behind it.
type Grouped struct {
	Position event.Position
	Settled  event.Settled
}

// Reader is one sink's way through the alerts of the ledger. It is used by one
// goroutine; Stats of the ledger may be asked at any time.
type Reader struct {
	seeker
	name  string
	slots *slots

	whenFull WhenFull
	storing  sync.Mutex // one Ack or drop at a time; taken before the ledger's lock
	telling  uint64     // alerts of the gap that was handed out last, 0 = it was none

	// under l.mu
	cur     cursor // as stored
	acked   time.Time
	idle    uint64 // when everything handed out is settled: frames below are not needed
	handed  uint64 // ordinal of at
	lost    uint64 // rotten since the last Ack
	hands   []hand // what was handed out since the last Ack
	overlap uint64 // of what is handed out and not settled, those that were dropped meanwhile
}

// hand is where something that was handed out ends.
type hand struct {
	pos     event.Position
	ordinal uint64 // alerts before it
	lost    uint64 // of them, rotten and not acknowledged
}

// cursor is what a reader's slot holds. Ordinals count alerts over the whole
// life of the ledger; what lies between start and ordinal is settled.
type cursor struct {
	pos                           event.Position
	ordinal, start                uint64
	accepted, deadLetter, skipped uint64
	lost                          uint64 // in rotten frames
	dropped, gap                  uint64 // when the ledger was full; the sink was not told of gap ones yet
	left                          uint64 // unix time at which its sink left the configuration, 0 = it did not
	grouped                       uint64 // joined groups
	notify                        uint64 // the newest notify frame whose alerts are in grouped, or that is of a time before the cursor was made
}

func (c cursor) encode() []byte {
	var b []byte
	for _, v := range []uint64{c.pos.LSN, uint64(c.pos.Index), c.ordinal, c.start, c.accepted, c.deadLetter, c.skipped, c.lost, c.dropped, c.gap, c.left, c.grouped, c.notify} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeCursor(b []byte) (cursor, error) {
	if len(b) < 56 {
		return cursor{}, errors.New("cursor too short")
	}
	u := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	c := cursor{pos: event.Position{LSN: u(0), Index: uint32(u(1))}, ordinal: u(2), start: u(3), accepted: u(4), deadLetter: u(5), skipped: u(6)}
	if len(b) >= 64 { // absent in cursors of the first builds
		c.lost = u(7)
	}
	if len(b) >= 88 { // absent before version 2
		c.dropped, c.gap, c.left = u(8), u(9), u(10)
	}
	if len(b) >= 104 { // absent before alerts were grouped
		c.grouped, c.notify = u(11), u(12)
	}
	return c, nil
}

// balance says how the account of c does not add up, "" if it does.
func (c cursor) balance() string {
	if settled := c.accepted + c.deadLetter + c.skipped + c.grouped + c.lost + c.dropped; c.ordinal-c.start != settled {
		return fmt.Sprintf("%d alerts lie before the cursor, but %d accepted + %d dead letter + %d routed elsewhere + %d grouped + %d rotten + %d dropped = %d", c.ordinal-c.start, c.accepted, c.deadLetter, c.skipped, c.grouped, c.lost, c.dropped, settled)
	}
	return ""
}

// Reader opens the cursor called name, or makes one. Call it after Recover.
func (l *Ledger) Reader(name string, o ReaderOptions) (*Reader, error) {
	s, b, err := l.cursorSlots(alertCursors, name)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.readers[name] != nil {
		return nil, errors.Join(fmt.Errorf("open cursor %s: already open", name), s.close())
	}
	r := &Reader{seeker: seeker{l: l}, name: name, slots: s, whenFull: o.WhenFull}
	if r.cur, err = decodeCursor(b); err != nil {
		if s.begun { // both slots are damaged, and not since their first write: better twice than never
			o.FromStart = true
			l.damagedCursor(name)
		}
		if r.cur, err = l.newCursor(s, o.FromStart); err != nil {
			return nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
		}
	}
	if r.cur.left != 0 { // its sink is back
		if l.expired(r.cur) {
			r.cur, err = l.newCursor(s, o.FromStart)
		} else {
			r.cur.left = 0
			err = s.store(r.cur.encode(), true)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
		}
	}
	if err := r.catchUp(o.Grouped); err != nil {
		return nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
	}
	r.at, r.handed = r.cur.pos, r.cur.ordinal
	if err := r.rewind(o.ResendWindow); err != nil {
		return nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
	}
	l.readers[name] = r
	delete(l.parked, s.name)
	return r, nil
}

// cursorSlots opens or makes the file of a reader's cursor in a directory, and returns
// what it holds.
func (l *Ledger) cursorSlots(dir, name string) (*slots, []byte, error) {
	file := strings.ReplaceAll(name, "/", ".") + ".cur"
	if strings.Trim(file, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" || strings.HasPrefix(file, ".") {
		return nil, nil, fmt.Errorf("open cursor %q: a name has letters, digits, '-', '_', '.' and '/'", name)
	}
	s, b, err := l.openSlots(l.path(dir), file)
	if err != nil {
		return nil, nil, fmt.Errorf("open cursor %s: %w", name, err)
	}
	if err := l.AwaitDurable(l.Head()); err != nil { // a new cursor must not know frames that a crash takes back
		return nil, nil, errors.Join(fmt.Errorf("open cursor %s: %w", name, err), s.close())
	}
	return s, b, nil
}

func (l *Ledger) damagedCursor(name string) {
	l.alarm("ledger_damage/cursor-"+strings.ReplaceAll(name, "/", "-"), "the cursor of "+name+" is damaged; it starts again from the oldest frame", true)
}

// catchUp moves the cursor over what was grouped and not acknowledged. Called with the
// lock held.
func (r *Reader) catchUp(g Grouped) error {
	c := r.cur
	if g.Settled.Notify <= c.notify {
		return nil
	}
	c.notify = g.Settled.Notify
	end, err := r.l.ordinal(g.Position)
	if err != nil {
		return err
	}
	if end > c.ordinal { // else all of it was dropped meanwhile, and counted so
		total := end - c.ordinal
		n := less(g.Settled, g.Settled.Total()-min(g.Settled.Total(), total))
		c.lost += total - n.Total()
		c.add(n)
		c.pos, c.ordinal = g.Position, end
	}
	if err := r.slots.store(c.encode(), true); err != nil {
		return err
	}
	r.cur = c
	return nil
}

// ordinal is how many alerts of the whole ledger lie before pos. Called with the lock held.
func (l *Ledger) ordinal(pos event.Position) (uint64, error) {
	for _, s := range l.segments {
		if s.last < pos.LSN || s.last < s.first {
			continue
		}
		for off := s.skip(0); off < s.synced; off = s.skip(off) {
			h, err := s.header(off)
			if err != nil {
				if l.recheck(s, off) {
					continue
				}
				return 0, fmt.Errorf("read segment %s: %w", s.name, err)
			}
			if h.magic == frameMagic && h.lsn >= pos.LSN {
				if h.lsn > pos.LSN {
					return h.alertBase, nil
				}
				return h.alertBase + uint64(min(pos.Index, h.alerts)), nil
			}
			off += headerBytes + int64(h.length)
		}
	}
	return l.alerts, nil
}

// add counts what is settled.
func (c *cursor) add(n event.Settled) {
	c.accepted += n.Accepted
	c.deadLetter += n.DeadLetter
	c.skipped += n.Skipped
	c.grouped += n.Grouped
	c.notify = max(c.notify, n.Notify)
}

// less takes away from n what is counted elsewhere.
func less(n event.Settled, away uint64) event.Settled {
	for _, part := range []*uint64{&n.Accepted, &n.Grouped, &n.Skipped, &n.DeadLetter} {
		off := min(*part, away)
		*part, away = *part-off, away-off
	}
	return n
}

func (l *Ledger) newCursor(s *slots, fromStart bool) (cursor, error) {
	c := cursor{pos: event.Position{LSN: l.next}, ordinal: l.alerts, start: l.alerts, notify: l.next - 1}
	if fromStart {
		c = cursor{pos: event.Position{LSN: 1}, notify: l.next - 1}
		if len(l.segments) > 0 {
			first := l.segments[0]
			c.pos.LSN = first.first
			if h, _, ok := l.firstHeader(first); ok {
				c.ordinal, c.start = h.alertBase, h.alertBase
			}
		}
	}
	return c, s.begin(c.encode())
}

// rewind moves a reader back over alerts that were sent without an
// acknowledgement; they are handed out again and not counted twice.
func (r *Reader) rewind(alerts uint64) error {
	if alerts == 0 {
		return nil
	}
	target := r.cur.start
	if r.cur.ordinal > r.cur.start+alerts {
		target = r.cur.ordinal - alerts
	}
	for i := len(r.l.segments) - 1; i >= 0; i-- {
		s := r.l.segments[i]
		h, _, ok := r.l.firstHeader(s)
		if !ok || (h.alertBase > target && i > 0) {
			continue
		}
		target = max(target, h.alertBase)
		return r.seek(s, target)
	}
	return nil
}

func (r *Reader) seek(s *segment, target uint64) error {
	for off := s.skip(0); off < s.synced; off = s.skip(off) {
		h, err := s.header(off)
		if err != nil {
			if r.l.recheck(s, off) {
				continue
			}
			return fmt.Errorf("read segment %s: %w", s.name, err)
		}
		if end := h.alertBase + uint64(h.alerts); h.magic == frameMagic && end > target {
			target = max(target, h.alertBase) // what lies between is rotten
			r.at = event.Position{LSN: h.lsn, Index: uint32(target - h.alertBase)}
			r.handed = target
			return nil
		}
		off += headerBytes + int64(h.length)
	}
	return nil
}

// firstHeader is the first header of s that can be read. Called with the lock held.
func (l *Ledger) firstHeader(s *segment) (h header, off int64, ok bool) {
	for off := s.skip(0); off < s.synced; off = s.skip(off) {
		if h, err := s.header(off); err == nil {
			return h, off, true
		}
		if !l.recheck(s, off) {
			break
		}
	}
	return header{}, 0, false
}

// holds is the first frame that the reader still needs. Called with the lock held.
func (r *Reader) holds() uint64 {
	if r.handed == r.cur.ordinal {
		return max(r.idle, r.cur.pos.LSN)
	}
	return min(r.cur.pos.LSN, r.at.LSN)
}

// Next returns up to limit alerts behind the last ones handed out and the
// position behind them. It blocks until there is one, ctx ends or the ledger
// closes.
func (r *Reader) Next(ctx context.Context, limit int) ([]event.Alert, event.Position, error) {
	stop := context.AfterFunc(ctx, r.l.wake)
	defer stop()
	for {
		if a, pos, ok := r.gap(); ok {
			return []event.Alert{a}, pos, nil
		}
		h, s, off, err := r.await(ctx)
		if errors.Is(err, errGap) {
			continue
		}
		if err != nil {
			return nil, event.Position{}, err
		}
		from, to := r.span(h, limit)
		batch, err := r.alerts(s, off, h, from, to)
		switch {
		case isRotten(err):
			r.l.rotten(s, off, h, err)
			r.skip(h)
			continue
		case errors.Is(err, os.ErrClosed) && !r.l.holds(s): // moved or dropped meanwhile
			continue
		case err != nil:
			return nil, event.Position{}, fmt.Errorf("read ledger: %w", err)
		}
		if pos := r.hand(h, to); from < to {
			batch, pos = r.fill(batch, pos, limit)
			return batch, pos, nil
		}
	}
}

// fill adds to a batch the alerts of the frames behind it that are there already, up to
// limit in all, so that what came in small frames while a sink was away leaves together.
func (r *Reader) fill(batch []event.Alert, pos event.Position, limit int) ([]event.Alert, event.Position) {
	for len(batch) < limit {
		h, s, off, ok := r.ready()
		if !ok {
			break
		}
		from, to := r.span(h, limit-len(batch))
		next, err := r.alerts(s, off, h, from, to)
		if err != nil {
			break // Next meets it again, and does what there is to do
		}
		batch, pos = append(batch, next...), r.hand(h, to)
	}
	return batch, pos
}

// alerts decodes some alerts of the frame at off, and nothing else of it. A frame that
// is not done with stays open until it is.
func (r *Reader) alerts(s *segment, off int64, h header, from, to uint32) (list []event.Alert, err error) {
	if err := r.unpack(s, off, h); err != nil {
		return nil, err
	}
	if list, err = r.open.AlertsIn(int(from), int(to)); err != nil {
		err = &rottenError{err}
	}
	if err != nil || to == h.alerts {
		r.shut()
	}
	return list, err
}

// skip leaves a rotten frame behind: its alerts are lost.
func (r *Reader) skip(h header) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	end := h.alertBase + uint64(h.alerts)
	r.lose(end)
	r.at, r.handed = event.Position{LSN: h.lsn + 1}, max(r.handed, end)
}

// lose counts what lies between the last alert handed out and ordinal to, and
// was never settled: it was rotten. Called with the lock held.
func (r *Reader) lose(to uint64) {
	if known := max(r.handed, r.cur.ordinal); to > known {
		r.lost += to - known
	}
}

// span is which alerts of the frame come next, at most limit.
func (r *Reader) span(h header, limit int) (from, to uint32) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.lose(h.alertBase)
	r.handed = max(r.handed, h.alertBase)
	from = min(r.at.Index, h.alerts)
	to = min(from+uint32(limit), h.alerts)
	if again := r.cur.ordinal - r.handed; r.handed < r.cur.ordinal && uint64(to-from) > again {
		to = from + uint32(again) // what goes out again is a batch of its own: it is not counted
	}
	return from, to
}

// hand notes that the alerts of the frame before number to are handed out, and
// returns the position behind them.
func (r *Reader) hand(h header, to uint32) event.Position {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	r.at.Index = to
	if to == h.alerts {
		r.at = event.Position{LSN: h.lsn + 1}
	}
	r.handed = h.alertBase + uint64(to)
	r.hands = append(r.hands, hand{r.at, r.handed, r.lost})
	return r.at
}

// upTo is what was handed out before pos, and how many times; all of it where Next did
// not return pos. Called with the lock held.
func (r *Reader) upTo(pos event.Position) (end hand, n int) {
	for i, h := range slices.Backward(r.hands) {
		if h.pos == pos {
			return h, i + 1
		}
	}
	return hand{pos, r.handed, r.lost}, len(r.hands)
}

var errGap = errors.New("alerts were dropped")

// await finds the next durable frame with alerts at or behind r.at.
func (r *Reader) await(ctx context.Context) (header, *segment, int64, error) {
	l := r.l
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if err := errors.Join(ctx.Err(), l.fatal); err != nil {
			return header{}, nil, 0, err
		}
		h, s, off, found, err := r.find(header.hasAlerts)
		if r.untold() && err == nil { // dropped meanwhile
			return header{}, nil, 0, errGap
		}
		if err != nil || found {
			return h, s, off, err
		}
		if r.idle = l.last + 1; r.handed == r.cur.ordinal {
			r.at = event.Position{LSN: max(r.at.LSN, l.last+1)}
		}
		if l.closed {
			return header{}, nil, 0, errClosed
		}
		l.changed.Wait()
	}
}

// Ack makes durable that everything before pos is settled, with the counts
// since the last Ack. What was handed out behind pos is not.
func (r *Reader) Ack(pos event.Position, n event.Settled) error {
	r.storing.Lock()
	defer r.storing.Unlock()
	if r.telling > 0 {
		return r.told()
	}
	r.l.mu.Lock()
	c := r.cur
	end, times := r.upTo(pos)
	if end.ordinal <= c.ordinal { // went out again, or was dropped: counted before
		r.hands = slices.Delete(r.hands, 0, times)
		r.overlap -= min(r.overlap, n.Total())
		r.l.mu.Unlock()
		return nil
	}
	n = less(n, r.overlap) // they count as dropped
	r.overlap = 0
	c.pos, c.ordinal = pos, end.ordinal
	c.add(n)
	c.lost += end.lost
	r.l.mu.Unlock()
	if err := r.slots.store(c.encode(), true); err != nil {
		return fmt.Errorf("store cursor %s: %w", r.name, err)
	}
	r.l.mu.Lock()
	r.cur, r.acked = c, r.l.o.Now()
	r.lost -= end.lost
	r.hands = slices.Delete(r.hands, 0, times)
	for i := range r.hands {
		r.hands[i].lost -= end.lost
	}
	r.l.retain()
	r.l.mu.Unlock()
	return nil
}

// Again reports whether the alerts that Next returned last went out before and were
// counted then.
func (r *Reader) Again() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	return r.telling == 0 && r.handed <= r.cur.ordinal
}

// More reports whether there are alerts behind those that were handed out which Next
// hands out at once, and which one Ack may settle together with them.
func (r *Reader) More() bool {
	_, _, _, ok := r.ready()
	return ok
}

// ready is the frame that More tells of. What goes out again, and what stands in place of
// something dropped, is a batch of its own.
func (r *Reader) ready() (header, *segment, int64, bool) {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if r.telling > 0 || r.handed <= r.cur.ordinal || r.l.fatal != nil || r.l.closed {
		return header{}, nil, 0, false
	}
	h, s, off, found, err := r.find(header.hasAlerts)
	return h, s, off, found && err == nil
}

// Balanced returns an error when appended is not accepted + dead letter +
// routed elsewhere + grouped + waiting.
func (r *Reader) Balanced() error {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	if b := r.cur.balance(); b != "" {
		return fmt.Errorf("account of %s: %s", r.name, b)
	}
	return nil
}

func (r *Reader) stats() ReaderStats {
	c := r.cur
	return ReaderStats{LSN: c.pos.LSN, Waiting: r.l.alerts - c.ordinal, Accepted: c.accepted, DeadLetter: c.deadLetter, Skipped: c.skipped, Grouped: c.grouped, Dropped: c.dropped, Lost: c.lost, LastAck: r.acked, Balance: c.balance()}
}
