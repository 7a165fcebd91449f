package sim

import (
	"cmp"
	"slices"
	"time"
)

// kind is a stream of numbered records.
type kind uint8

const (
	kindAudit kind = iota
	kindInteractive
	kindNonInteractive
	kindServicePrincipal
	kindManagedIdentity
	kindAlert

	// These are told by the stream of diagnostic settings alone.
	kindMicrosoft // sign-ins of Microsoft's own apps
	kindCall
	kindLegacyCall
)

// String is the kind as Issued names it.
func (k kind) String() string {
	return [...]string{"audit", "signin_interactive", "signin_non_interactive", "signin_service_principal", "signin_managed_identity", "alert", "signin_microsoft", "call", "call_legacy"}[k]
}

// record is what is kept of a numbered record; its content is made again from
// its number whenever it is asked for.
type record struct {
	time      int64 // Unix nanoseconds, as precise as its text in JSON
	published int64
	kind      kind
	copies    uint8 // how often it is listed, at least once
	enriched  bool  // whether its content changes once
}

// enrichAfter is the time from publication to the one change of an enriched
// record. Reported: risk records were completed in place minutes later.
// copyAfter is the time from publication to the first repetition.
const (
	enrichAfter = 15 * time.Second
	copyAfter   = 3 * time.Second
)

func (r *record) at() time.Time { return time.Unix(0, r.time).UTC() }

func (r *record) visible() time.Time { return time.Unix(0, r.published).UTC() }

// settled is when nothing about the record changes any more.
func (r *record) settled() time.Time {
	switch {
	case r.enriched:
		return r.visible().Add(enrichAfter)
	case r.copies > 1:
		return r.visible().Add(time.Duration(r.copies-1) * copyAfter)
	}
	return r.visible()
}

// row is one place of a record in its stream.
type row struct {
	time   int64
	number uint32
	nth    uint8 // 0 for the record itself, 1 for its first copy
}

func (a row) compare(b row) int {
	return cmp.Or(cmp.Compare(a.time, b.time), cmp.Compare(a.number, b.number), cmp.Compare(a.nth, b.nth))
}

// tale is the content of a scenario's record: what it tells and how it looks.
type tale struct {
	step string
	look func(n uint32, r record) object
}

// makeRecords draws the background: what each record is and when. Its content
// is not made before somebody asks for it.
func (c *Cloud) makeRecords() {
	c.recs = make([]record, 0, c.o.Events+c.o.Calls+64)
	for i := range c.o.Events {
		c.recs = append(c.recs, c.draw(i, c.o.Events, drawKind))
	}
	for i := range c.o.Calls {
		c.recs = append(c.recs, c.draw(i, c.o.Calls, drawCall))
	}
}

// draw makes record i of n, the next one.
func (c *Cloud) draw(i, n int, of func(*rng) kind) record {
	r := c.random(domRecord, uint64(len(c.recs)+1))
	rec := record{kind: of(r), copies: 1}
	var late time.Duration
	if r.chance(c.o.Late) {
		late = 1 + time.Duration(r.float()*float64(c.o.LateBy-1))
	}
	at := c.place(i, n, r)
	if c.paced() {
		at = at.Add(-late) // published at its turn, tells of an earlier time
	}
	at = c.o.cut(at.Truncate(rec.kind.precision()))
	rec.time, rec.published = at.UnixNano(), at.Add(late).UnixNano()
	if r.chance(c.o.Duplicates) {
		c.repeat(&rec, r)
	}
	return rec
}

// paced reports whether records are published in turn after Start.
func (c *Cloud) paced() bool { return c.o.EventsPerSecond > 0 }

// cut makes t one of the times that records share.
func (o Options) cut(t time.Time) time.Time {
	if o.Grain > 0 {
		t = t.Truncate(o.Grain)
	}
	return t
}

// place is the moment of record i of n: its turn at the pace after Start, or
// its part of the history before.
func (c *Cloud) place(i, n int, r *rng) time.Time {
	if c.paced() {
		return c.o.Start.Add(time.Duration(float64(i) / c.o.EventsPerSecond * float64(time.Second)))
	}
	part := (float64(i) + r.float()) / float64(n)
	return c.o.Start.Add(-c.o.History + time.Duration(part*float64(c.o.History)))
}

// repeat makes a record come again: mostly one to three identical copies
// (reported: at least once is permanent, up to four times), sometimes one
// change of content under the same id (reported: enrichment in place).
func (c *Cloud) repeat(rec *record, r *rng) {
	if r.intn(5) == 0 {
		rec.enriched = true
		return
	}
	rec.copies = 2
	if r.intn(3) == 0 {
		rec.copies += uint8(1 + r.intn(2))
	}
}

func drawKind(r *rng) kind {
	switch n := r.intn(100); {
	case n < 30:
		return kindAudit
	case n < 45:
		return kindInteractive
	case n < 65:
		return kindNonInteractive
	case n < 95:
		return kindServicePrincipal
	}
	return kindManagedIdentity
}

func drawCall(r *rng) kind {
	switch n := r.intn(100); {
	case n < 8:
		return kindMicrosoft
	case n < 12:
		return kindLegacyCall
	}
	return kindCall
}

// precision of the time in a record. Reported: interactive sign-ins of v1.0
// have whole seconds, so that many share one time; audits have seven digits.
func (k kind) precision() time.Duration {
	if k == kindInteractive {
		return time.Second
	}
	return 100 * time.Nanosecond
}

// add appends a record of a scenario and returns its number.
func (c *Cloud) add(k kind, at, published time.Time, t tale) uint32 {
	at = at.Truncate(k.precision())
	c.recs = append(c.recs, record{kind: k, time: at.UnixNano(), published: published.UnixNano(), copies: 1})
	n := uint32(len(c.recs))
	c.tell[n] = t
	return n
}

// indexRecords puts every record into its stream and into the order of
// publication.
func (c *Cloud) indexRecords() {
	c.log = map[kind][]row{}
	for i := range c.recs {
		rec, n := &c.recs[i], uint32(i+1)
		c.due = append(c.due, n)
		if rec.kind >= kindAlert {
			continue
		}
		for nth := range rec.copies {
			c.log[rec.kind] = append(c.log[rec.kind], row{time: rec.time, number: n, nth: nth})
		}
	}
	for _, rows := range c.log {
		slices.SortFunc(rows, row.compare)
	}
	slices.SortStableFunc(c.due, func(a, b uint32) int {
		return cmp.Compare(c.recs[a-1].published, c.recs[b-1].published)
	})
}

// window is a range of times of one stream, in one order.
type window struct {
	from, to   int64 // inclusive
	descending bool
	asOf       int64 // only rows that were visible then: a page set does not move under its reader (assumed)
}

// rows returns up to limit visible rows of a window behind the row after, which
// is nil at the beginning.
func (c *Cloud) rows(k kind, w window, after *row, limit int) []row {
	all := c.log[k]
	lo, _ := slices.BinarySearchFunc(all, w.from, func(r row, t int64) int { return cmp.Compare(r.time, t) })
	hi, _ := slices.BinarySearchFunc(all, w.to, func(r row, t int64) int {
		if r.time <= t {
			return -1
		}
		return 1
	})
	if hi <= lo {
		return nil
	}
	return c.take(all[lo:hi], w, after, limit)
}

func (c *Cloud) take(all []row, w window, after *row, limit int) []row {
	out := make([]row, 0, min(limit, len(all)))
	i, step, end := 0, 1, len(all)
	if w.descending {
		i, step, end = len(all)-1, -1, -1
	}
	if after != nil {
		p, found := slices.BinarySearchFunc(all, *after, row.compare)
		switch {
		case w.descending:
			i = p - 1
		case found:
			i = p + 1
		default:
			i = p
		}
	}
	for ; i != end && len(out) < limit; i += step {
		if c.listed(all[i]) <= w.asOf {
			out = append(out, all[i])
		}
	}
	return out
}

// listed is when a row becomes visible.
func (c *Cloud) listed(r row) int64 {
	t := c.recs[r.number-1].published
	if r.nth > 0 {
		t += int64(r.nth) * int64(copyAfter)
	}
	return t
}

// id is the upstream id of record n.
func (c *Cloud) id(n uint32) string {
	r := c.random(domRecordID, uint64(n))
	switch c.recs[n-1].kind {
	case kindAudit:
		// Reported form: Directory_{correlationId}_{5 characters}_{digits}.
		prefix := "Directory_"
		if _, told := c.tell[n]; !told {
			a, _ := c.activity(n)
			prefix = a.prefix
		}
		return prefix + r.numbered(n) + "_" + r.letters() + "_" + fmtInt(10000000+r.intn(90000000))
	case kindAlert:
		return "ma" + r.guid() // documented prefix
	}
	return r.guid()
}

// correlation is the correlationId of record n: its last twelve digits are n.
// The real service shares one between records that belong together; here each
// has its own, so that records can be counted.
func (c *Cloud) correlation(n uint32) string {
	return c.random(domRecordID, uint64(n)).numbered(n)
}

func (c *Cloud) issued(n uint32) Issued {
	rec := &c.recs[n-1]
	return Issued{
		Number: uint64(n), ID: c.id(n), Kind: rec.kind.String(), Time: rec.at(), Published: rec.visible(),
		Copies: int(rec.copies), Enriched: rec.enriched, Step: c.tell[n].step,
	}
}

// record renders record n as it looks at a moment.
func (c *Cloud) record(n uint32, asOf int64, beta bool) object {
	rec := c.recs[n-1]
	if t, ok := c.tell[n]; ok {
		o := t.look(n, rec)
		if rec.kind != kindAudit && !beta {
			return o.only(isV1)
		}
		return o
	}
	enriched := rec.enriched && asOf >= rec.published+int64(enrichAfter)
	switch rec.kind {
	case kindAudit:
		return c.backgroundAudit(n, rec, enriched)
	case kindCall, kindLegacyCall:
		return c.callRecord(n, rec)
	}
	return c.backgroundSignIn(n, rec, enriched, beta)
}
