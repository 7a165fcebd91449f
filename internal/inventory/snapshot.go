package inventory

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/appgovd/appgovd/internal/event"
)

// A snapshot is a sequence of records: type (1 byte), length (uvarint), payload.
// The order is fixed, so that equal states make equal bytes: meta, objects by
// id, grants by id, traits by kind and id, usage by app, end. Unknown types are skipped.
const (
	recordMeta   = 'm' // meta as JSON
	recordObject = 'o' // fields 1-4 below
	recordGrant  = 'g' // fields 1-4 below
	recordTrait  = 't' // fields 1-5 below
	recordEnd    = 'e' // number of objects, grants, traits and apps with usage as JSON
)

// Fields of an object, grant or trait record.
const (
	fieldFirst  = 1 // unix ns
	fieldLast   = 2 // unix ns
	fieldGen    = 3
	fieldObject = 4 // event.AppendObject
	fieldScope  = 5 // of a trait: the full read that shows it
)

// maxRecord bounds one record of a snapshot: an app with all its permissions.
const maxRecord = 64 << 20

// meta is everything but objects and grants.
type meta struct {
	Version int
	Seq     uint64
	Scopes  map[string]*scope
	Used    map[string]int64
	Collect map[string]int64
	Through map[string]int64
	Audit   int64 `json:",omitempty"` // facts.from
	Said    []said
	Waiting map[string]waiting
}

type said struct {
	Fact fact
	At   int64
}

type end struct {
	Objects, Grants int
	Traits          int `json:",omitempty"`
	Usage           int `json:",omitempty"`
}

// Snapshot writes the state; equal states write equal bytes.
func (m *Model) Snapshot(w io.Writer) error { return m.Freeze().Write(w) }

// Frozen is the state of a model at one moment. It may be written while the model
// goes on, by another goroutine.
type Frozen struct {
	meta    meta
	objects []object // shallow copies: what they refer to is replaced, never changed
	grants  pages
	traits  []trait
	names   []string
	use     usageMeta
	uses    []frozenUse
}

// Freeze keeps the state as it is now. It takes a copy of what is small, and of the
// many grants none: the model copies those that it changes, page by page.
func (m *Model) Freeze() *Frozen {
	f := &Frozen{meta: m.meta(), objects: make([]object, 0, len(m.objects)), grants: m.grants.freeze(), traits: m.traits.sorted(), names: slices.Clip(m.names.text)}
	for _, o := range m.objects {
		f.objects = append(f.objects, *o)
	}
	f.use, f.uses = m.uses.freeze()
	return f
}

// Write writes the state; equal states write equal bytes.
func (f *Frozen) Write(w io.Writer) error {
	s := recorder{w: bufio.NewWriterSize(w, 64<<10)}
	slices.SortFunc(f.meta.Said, func(a, b said) int { return a.Fact.compare(b.Fact) })
	s.json(recordMeta, f.meta)
	slices.SortFunc(f.objects, func(a, b object) int { return strings.Compare(a.id, b.id) })
	for i := range f.objects {
		o := &f.objects[i]
		s.object(recordObject, o.first, o.last, o.gen, "", &event.Object{Kind: o.kind, ID: o.id, App: o.facts})
	}
	grants := f.grants.sorted()
	for _, i := range grants {
		s.grant(f.grants.grant(i), f.names)
	}
	for i := range f.traits {
		x := &f.traits[i]
		s.object(recordTrait, x.first, x.last, x.gen, x.scope, &event.Object{Kind: x.key.kind, ID: x.key.id, Trait: x.body})
	}
	s.usage(f.use, f.uses)
	s.json(recordEnd, end{len(f.objects), len(grants), len(f.traits), len(f.uses)})
	if s.err == nil {
		s.err = s.w.Flush()
	}
	if s.err != nil {
		return fmt.Errorf("write inventory snapshot: %w", s.err)
	}
	return nil
}

// meta is a copy of everything but objects and grants.
func (m *Model) meta() meta {
	x := meta{Version: 1, Seq: m.seq, Scopes: make(map[string]*scope, len(m.scopes)), Used: maps.Clone(m.used), Collect: maps.Clone(m.collect), Through: maps.Clone(m.through), Audit: m.facts.from, Waiting: maps.Clone(m.facts.waiting)}
	if n := len(m.facts.said); n > 0 {
		x.Said = make([]said, 0, n)
	}
	for k, s := range m.scopes {
		copied := *s
		x.Scopes[k] = &copied
	}
	for k, at := range m.facts.said {
		x.Said = append(x.Said, said{k, at})
	}
	return x
}

// recorder writes records and keeps the first error.
type recorder struct {
	w       *bufio.Writer
	head    [1 + binary.MaxVarintLen64]byte
	enc     event.Encoder
	inner   []byte
	payload []byte
	last    event.GrantObject // and room for the next one
	err     error
}

func (s *recorder) record(kind byte, payload []byte) {
	if s.err != nil {
		return
	}
	s.head[0] = kind
	n := 1 + binary.PutUvarint(s.head[1:], uint64(len(payload)))
	if _, s.err = s.w.Write(s.head[:n]); s.err == nil {
		_, s.err = s.w.Write(payload)
	}
}

func (s *recorder) json(kind byte, v any) {
	b, err := json.Marshal(v)
	if err != nil && s.err == nil {
		s.err = err
	}
	s.record(kind, b)
}

func (s *recorder) grant(g grant, names []string) {
	o := g.unpack(names, &s.last)
	s.object(recordGrant, g.firstSeen, g.lastAt, g.gen, "", &o)
}

func (s *recorder) object(kind byte, first, last int64, gen uint64, scope string, o *event.Object) {
	b := s.payload[:0]
	b = protowire.AppendTag(b, fieldFirst, protowire.VarintType)
	b = protowire.AppendVarint(b, protowire.EncodeZigZag(first))
	b = protowire.AppendTag(b, fieldLast, protowire.VarintType)
	b = protowire.AppendVarint(b, protowire.EncodeZigZag(last))
	b = protowire.AppendTag(b, fieldGen, protowire.VarintType)
	b = protowire.AppendVarint(b, gen)
	s.inner = s.enc.AppendObject(s.inner[:0], o)
	b = protowire.AppendTag(b, fieldObject, protowire.BytesType)
	b = protowire.AppendBytes(b, s.inner)
	if scope != "" {
		b = protowire.AppendTag(b, fieldScope, protowire.BytesType)
		b = protowire.AppendString(b, scope)
	}
	s.payload = b
	s.record(kind, b)
}

// Restore replaces the state by a snapshot. After an error the model is empty.
func (m *Model) Restore(r io.Reader) error {
	m.reset()
	in := records{in: bufio.NewReaderSize(r, 64<<10)}
	var room grantRoom
	for {
		kind, payload, err := in.next()
		if err == nil && kind == recordEnd {
			err = m.checkEnd(payload)
			if err == nil {
				return nil
			}
		}
		if err == nil {
			err = m.restore(kind, payload, &room)
		}
		if err != nil {
			m.reset()
			return fmt.Errorf("read inventory snapshot: %w", err)
		}
	}
}

// records reads records.
type records struct {
	in  *bufio.Reader
	buf bytes.Buffer // the last one
	cut io.LimitedReader
}

// next reads a record; its payload is good until the next one.
func (r *records) next() (kind byte, payload []byte, err error) {
	if kind, err = r.in.ReadByte(); err != nil {
		return 0, nil, noEOF(err)
	}
	n, err := binary.ReadUvarint(r.in)
	if err != nil {
		return 0, nil, noEOF(err)
	}
	if n > maxRecord {
		return 0, nil, fmt.Errorf("record of %d bytes, at most %d", n, maxRecord)
	}
	r.buf.Reset()
	r.cut = io.LimitedReader{R: r.in, N: int64(n)}
	got, err := r.buf.ReadFrom(&r.cut) // grows with what is there, not with what n claims
	if err == nil && got < int64(n) {
		err = io.ErrUnexpectedEOF
	}
	return kind, r.buf.Bytes(), err
}

func noEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // bufio returns it bare
		return io.ErrUnexpectedEOF
	}
	return err
}

func (m *Model) checkEnd(payload []byte) error {
	var e end
	if err := json.Unmarshal(payload, &e); err != nil {
		return fmt.Errorf("parse end: %w", err)
	}
	if is := (end{len(m.objects), m.grants.len(), len(m.traits.all), len(m.uses.apps)}); e != is {
		return fmt.Errorf("%d objects, %d grants, %d traits and usage of %d apps, the end says %d, %d, %d and %d", is.Objects, is.Grants, is.Traits, is.Usage, e.Objects, e.Grants, e.Traits, e.Usage)
	}
	return nil
}

// grantRoom is where one grant after the other is decoded: nothing of it is kept.
type grantRoom struct {
	object event.Object
	grant  event.GrantObject
}

func (m *Model) restore(kind byte, payload []byte, room *grantRoom) error {
	switch kind {
	case recordMeta:
		return m.restoreMeta(payload)
	case recordObject, recordGrant, recordTrait:
		return m.restoreObject(kind, payload, room)
	case recordUse:
		return m.restoreUse(payload)
	case recordAppUse:
		return m.restoreAppUse(payload)
	default:
		return nil
	}
}

func (m *Model) restoreMeta(payload []byte) error {
	x := meta{Scopes: m.scopes, Used: m.used, Collect: m.collect, Through: m.through, Waiting: m.facts.waiting}
	if err := json.Unmarshal(payload, &x); err != nil {
		return fmt.Errorf("parse meta: %w", err)
	}
	if x.Version != 1 {
		return fmt.Errorf("version %d, this program knows 1", x.Version)
	}
	if x.Scopes == nil || x.Used == nil || x.Collect == nil || x.Through == nil || x.Waiting == nil {
		return fmt.Errorf("parse meta: a part is missing")
	}
	for _, s := range x.Scopes {
		if s == nil {
			return fmt.Errorf("parse meta: an empty scope")
		}
	}
	m.seq, m.scopes, m.used, m.collect, m.facts.waiting = x.Seq, x.Scopes, x.Used, x.Collect, x.Waiting
	m.through, m.facts.from, m.kinds = x.Through, x.Audit, nil
	m.covers = [2]cover{}
	for _, s := range x.Said {
		m.facts.said[s.Fact] = s.At
	}
	return nil
}

func (m *Model) restoreObject(kind byte, payload []byte, room *grantRoom) error {
	var first, last int64
	var gen uint64
	var raw []byte
	scope := ""
	for len(payload) > 0 {
		num, typ, n := protowire.ConsumeTag(payload)
		if n < 0 {
			return fmt.Errorf("parse object: %w", protowire.ParseError(n))
		}
		body := payload[n:]
		size := protowire.ConsumeFieldValue(num, typ, body)
		if size < 0 {
			return fmt.Errorf("parse object: %w", protowire.ParseError(size))
		}
		v, _ := protowire.ConsumeVarint(body)
		switch {
		case num == fieldFirst && typ == protowire.VarintType:
			first = protowire.DecodeZigZag(v)
		case num == fieldLast && typ == protowire.VarintType:
			last = protowire.DecodeZigZag(v)
		case num == fieldGen && typ == protowire.VarintType:
			gen = v
		case num == fieldObject && typ == protowire.BytesType:
			raw, _ = protowire.ConsumeBytes(body)
		case num == fieldScope && typ == protowire.BytesType:
			scope, _ = protowire.ConsumeString(body)
		}
		payload = body[size:]
	}
	if kind == recordGrant {
		if err := event.ViewGrant(&room.object, &room.grant, raw); err != nil {
			return err
		}
		if room.object.Grant == nil || room.object.App != nil { // its texts would change with the next record
			return fmt.Errorf("parse grant: %q %q is none", room.object.Kind, room.object.ID)
		}
		return m.insert(&room.object, first, last, gen)
	}
	o, err := event.DecodeObject(raw)
	if err != nil {
		return err
	}
	if kind == recordTrait {
		return m.insertTrait(o, &trait{scope: scope, first: first, last: last, gen: gen})
	}
	return m.insert(o, first, last, gen)
}

func (m *Model) insertTrait(o *event.Object, x *trait) error {
	x.key, x.body = traitKey{o.Kind, o.ID}, o.Trait
	if o.Trait == nil || !isTrait(o.Kind) || m.traits.all[x.key] != nil {
		return fmt.Errorf("parse trait: %q %q is none, or comes twice", o.Kind, o.ID)
	}
	m.traits.put(x)
	return nil
}

func (m *Model) insert(o *event.Object, first, last int64, gen uint64) error {
	switch {
	case o.App != nil && (o.Kind == event.ObjectApplication || o.Kind == event.ObjectServicePrincipal) && m.objects[o.ID] == nil:
		n := &object{kind: o.Kind, id: o.ID, first: first, last: last, gen: gen, facts: o.App, origin: m.Origin(o.App.OwnerTenant)}
		n.roles = roleTable(o.App.Roles)
		m.objects[o.ID] = n
		m.link(n)
	case o.Grant != nil && o.ID != "" && m.grants.find(o.ID) == nil:
		g := m.pack(o)
		g.firstSeen, g.lastAt, g.gen = first, last, gen
		m.grants.add(g)
	default:
		return fmt.Errorf("parse object: %q %q is neither app nor grant, or comes twice", o.Kind, o.ID)
	}
	return nil
}

// Hash is the hash of the state: equal for equal states, however reached.
func (m *Model) Hash() event.ID {
	h := sha256.New()
	if err := m.Snapshot(h); err != nil {
		return event.ID{} // a hash never refuses a write
	}
	var id event.ID
	copy(id[:], h.Sum(nil))
	return id
}

// Counts is the size of the model.
type Counts struct {
	Apps, Principals, Registrations int
	Grants, Delegated, Application  int
	Credentials                     int
	Waiting                         int // grants that no audit event explains yet
}

// Counts counts what the model holds.
func (m *Model) Counts() Counts {
	c := Counts{Grants: m.grants.len(), Waiting: len(m.facts.waiting)}
	for _, o := range m.objects {
		c.Credentials += len(o.facts.Credentials)
		if o.kind == event.ObjectServicePrincipal {
			c.Principals++
		} else {
			c.Registrations++
		}
		if o.app.principal == o || o.app.principal == nil {
			c.Apps++
		}
	}
	for i := range m.grants.pages.all() {
		if m.grants.pages.grant(i).delegated {
			c.Delegated++
		} else {
			c.Application++
		}
	}
	return c
}

// exported is one line of Export.
type exported struct {
	Kind        string   `json:"kind"`
	ID          string   `json:"id"`
	AppID       string   `json:"app_id,omitempty"`
	Name        string   `json:"name,omitempty"`
	OwnerTenant string   `json:"owner_tenant,omitempty"`
	Enabled     *bool    `json:"enabled,omitempty"`
	Credentials []string `json:"credentials,omitempty"` // key ids
	Client      string   `json:"client,omitempty"`
	Resource    string   `json:"resource,omitempty"`
	ConsentType string   `json:"consent_type,omitempty"`
	Risk        *int     `json:"risk,omitempty"`
	Principal   string   `json:"principal,omitempty"`
	Scopes      []string `json:"scopes,omitempty"`
	RoleID      string   `json:"role_id,omitempty"`
	Role        string   `json:"role,omitempty"`
}

// Export writes one JSON object per line: every directory object by id, then
// every grant by id. risk gives the risk of the app that an object stands for, by
// client id or else object id; nil = none is told.
func (m *Model) Export(w io.Writer, risk func(key string) int) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	for _, id := range sortedKeys(m.objects) {
		x := exportObject(m.objects[id])
		if risk != nil {
			n := risk(event.App{AppID: x.AppID, ID: x.ID}.Key())
			x.Risk = &n
		}
		if err := enc.Encode(x); err != nil {
			return fmt.Errorf("export app: %w", err)
		}
	}
	for _, i := range m.grants.pages.sorted() {
		g := m.grants.pages.grant(i)
		if err := enc.Encode(m.exportGrant(&g)); err != nil {
			return fmt.Errorf("export grant: %w", err)
		}
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("export inventory: %w", err)
	}
	return nil
}

func exportObject(o *object) exported {
	f := o.facts
	x := exported{Kind: o.kind, ID: o.id, AppID: f.AppID, Name: f.Name, OwnerTenant: f.OwnerTenant}
	if f.Has&event.HasEnabled != 0 {
		x.Enabled = &f.Enabled
	}
	for _, c := range f.Credentials {
		x.Credentials = append(x.Credentials, c.KeyID)
	}
	slices.Sort(x.Credentials)
	return x
}

func (m *Model) exportGrant(g *grant) exported {
	o := m.unpack(g)
	x := exported{Kind: o.Kind, ID: o.ID, Client: o.Grant.Client, Resource: o.Grant.Resource,
		ConsentType: o.Grant.ConsentType, Principal: o.Grant.Principal, Scopes: o.Grant.Scopes, RoleID: o.Grant.RoleID}
	x.Role, _ = m.PermissionName(x.Resource, x.RoleID)
	return x
}
