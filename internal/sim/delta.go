package sim

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// deltaLife is how long a delta token lives. Documented: seven days for
// directory objects.
const deltaLife = 7 * 24 * time.Hour

// deltaToken is the content of a $skiptoken or $deltatoken. From and To are
// positions in the log of changes; a first read has From -1 and lists what is
// there.
type deltaToken struct {
	In       collection
	From, To int
	At       int  // position in the list of items
	Empty    bool // whether the empty page was given
	Select   string
	Issued   int64
}

// size of a collection's item list, and whether one of its items is there.
func (d *directory) size(in collection) int {
	if in == colGrants {
		return len(d.grants)
	}
	return len(d.apps)
}

func (d *directory) present(in collection, i int) bool {
	switch in {
	case colGrants:
		return !d.grants[i].removed
	case colApplications:
		return d.apps[i].regID != "" && !d.apps[i].removed
	}
	return !d.apps[i].removed
}

// item renders item i of a collection.
func (c *Cloud) item(in collection, i int) object {
	switch in {
	case colGrants:
		return c.grant(c.dir.grants[i])
	case colApplications:
		return c.application(c.dir.apps[i])
	}
	return c.principal(c.dir.apps[i])
}

// gone renders a removed item. Documented: apps and service principals go to
// the bin first (changed), grants are deleted for good.
func (c *Cloud) gone(in collection, i int) object {
	id, reason := "", "changed"
	switch in {
	case colGrants:
		id, reason = c.dir.grants[i].id, "deleted"
	case colApplications:
		id = c.dir.apps[i].regID
	default:
		id = c.dir.apps[i].spID
	}
	return object{{"id", id}, {"@removed", object{{"reason", reason}}}}
}

// deltaOf answers /delta of a collection.
func deltaOf(in collection) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		tok, refused := k.deltaToken(in)
		if refused != nil {
			return *refused
		}
		return k.deltaPage(tok)
	}
}

// deltaToken reads where the reader is. Documented: parameters in any case, an
// empty $deltatoken starts again, latest starts from now, an old token is 410
// with a Location; $top, $filter and $orderby are refused.
func (k *call) deltaToken(in collection) (deltaToken, *reply) {
	start := deltaToken{In: in, From: -1, To: len(k.c.dir.changes), Select: k.q.Get("$select"), Issued: k.now.Unix()}
	for _, name := range []string{"$top", "$orderby", "$expand", "$filter"} {
		if k.q.Has(name) { // $filter=id eq … is documented and not simulated
			return start, problemOf(refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "%s is not supported with delta.", name))
		}
	}
	text, delta := k.token("$deltatoken")
	if !delta {
		text, _ = k.token("$skiptoken")
	}
	switch text {
	case "":
		return start, nil
	case "latest":
		start.From, start.At = start.To, k.c.dir.size(in)
		return start, nil
	}
	var tok deltaToken
	if !k.c.tokens.open(text, &tok) || tok.In != in || (!delta && tok.To > len(k.c.dir.changes)) {
		return tok, problemOf(refuse(http.StatusBadRequest, "Directory_ExpiredPageToken", "The specified page token value is invalid."))
	}
	if delta {
		if refused := k.expired(tok); refused != nil {
			return tok, refused
		}
		tok.From, tok.To, tok.At, tok.Empty = tok.To, len(k.c.dir.changes), 0, true
	}
	return tok, nil
}

func (k *call) token(name string) (string, bool) {
	for have, v := range k.q {
		if strings.EqualFold(have, name) && len(v) > 0 {
			return v[0], true
		}
	}
	return "", false
}

// expired says that a delta token is no longer honoured: it is too old, or the
// faults want it so. Documented: 410 with a Location whose token is empty;
// reported: 400 with the code syncStateNotFound.
func (k *call) expired(tok deltaToken) *reply {
	wanted := k.c.faults.Gone > 0
	if wanted {
		k.c.faults.Gone--
	}
	known := tok.To <= len(k.c.dir.changes) // not after a restart of the simulator
	if !wanted && known && k.now.Sub(time.Unix(tok.Issued, 0)) < deltaLife {
		return nil
	}
	if wanted && k.c.faults.GoneAsSyncState {
		return problemOf(refuse(http.StatusBadRequest, "syncStateNotFound", "The sync state generation is not found."))
	}
	ans := refuse(http.StatusGone, "syncStateNotFound", "The sync state is no longer available; a full synchronisation is needed.")
	q := url.Values{"$deltatoken": {""}}
	if tok.Select != "" {
		q.Set("$select", tok.Select)
	}
	ans.problem.location = k.link("", q)
	return &ans
}

// deltaPage answers one page: of everything, or of what changed.
func (k *call) deltaPage(tok deltaToken) reply {
	size, _ := k.pageSize(k.c.o.DirectoryPage, maxDirectoryPage)
	body := object{k.context(string(tok.In))}
	// Documented: a page may be empty and still have a next one. Here the
	// second page of every first read is.
	if tok.From < 0 && tok.At > 0 && !tok.Empty {
		tok.Empty = true
		return reply{body: append(body, k.next(tok)), paged: true}
	}
	var items []object
	var more bool
	if tok.From < 0 {
		items, more = k.everything(&tok, size)
	} else {
		items, more = k.changed(&tok, size)
	}
	if more {
		body = append(body, k.next(tok))
	} else {
		body = append(body, k.deltaLink(tok))
	}
	return reply{body: body, items: items, paged: true}
}

func (k *call) next(tok deltaToken) member {
	return member{"@odata.nextLink", k.link(k.fault.ForeignNext, url.Values{"$skiptoken": {k.c.tokens.seal(tok)}})}
}

func (k *call) deltaLink(tok deltaToken) member {
	tok.At, tok.From, tok.Empty, tok.Issued = 0, 0, false, k.now.Unix()
	return member{"@odata.deltaLink", k.link(k.fault.ForeignDelta, url.Values{"$deltatoken": {k.c.tokens.seal(tok)}})}
}

// everything lists the items that are there, from the token's position on.
// Documented: a property that was never set is left out.
// Documented: an item may come again; here the last one of a page sometimes
// opens the next page.
func (k *call) everything(tok *deltaToken, size int) (items []object, more bool) {
	d := &k.c.dir
	i := tok.At
	if i > 0 && i%4 == 1 && d.present(tok.In, i-1) {
		items = append(items, only(k.c.item(tok.In, i-1).filled(), tok.Select))
	}
	for n := 0; n < size && i < d.size(tok.In); i++ {
		if d.present(tok.In, i) {
			items = append(items, only(k.c.item(tok.In, i).filled(), tok.Select))
			n++
		}
	}
	tok.At = i
	return items, i < d.size(tok.In)
}

// changed lists what the log of changes names between From and To, each item
// once. Documented: of an updated item at least the changed properties, of a
// new one all, of a removed one its id and @removed.
func (k *call) changed(tok *deltaToken, size int) (items []object, more bool) {
	touched := k.c.dir.touched(tok.In, tok.From, tok.To)
	for ; len(items) < size && tok.At < len(touched); tok.At++ {
		t := touched[tok.At]
		switch {
		case !k.c.dir.present(tok.In, t.index):
			items = append(items, k.c.gone(tok.In, t.index))
		case len(t.props) == 0:
			items = append(items, only(k.c.item(tok.In, t.index).filled(), tok.Select))
		default:
			o := k.c.item(tok.In, t.index).only(selection(strings.Join(t.props, ",")))
			if o = only(o, tok.Select); len(o) > 1 { // documented: only selected properties are tracked
				items = append(items, o)
			}
		}
	}
	return items, tok.At < len(touched)
}

// touched folds the log between two positions: each item with the union of its
// changed properties, or none where it was made or removed.
func (d *directory) touched(in collection, from, to int) []change {
	var out []change
	seen := map[int]int{}
	for _, ch := range d.changes[from:to] {
		if ch.in != in {
			continue
		}
		at, ok := seen[ch.index]
		switch {
		case !ok:
			seen[ch.index] = len(out)
			out = append(out, change{in: in, index: ch.index, props: slices.Clone(ch.props)})
		case len(ch.props) == 0 || len(out[at].props) == 0:
			out[at].props = nil
		default:
			out[at].props = append(out[at].props, ch.props...)
		}
	}
	return out
}

func only(o object, sel string) object {
	if sel == "" {
		return o
	}
	return o.only(selection(sel))
}

// pageToken is the content of a $skiptoken of a plain collection.
type pageToken struct{ At int }

// collectionOf answers a collection itself: all of it, or what $filter names.
// Documented: $filter, of which only eq on a few properties is simulated, $top
// and $select.
func collectionOf(in collection) handler {
	return func(k *call) reply {
		filters, err := parseAlternatives(k.q.Get("$filter"))
		if err != nil {
			return refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "%s", err)
		}
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		return k.listPage(string(in), k.c.dir.size(in), func(i int) (object, error) {
			if !k.c.dir.present(in, i) {
				return nil, nil
			}
			for _, clauses := range filters {
				if ok, err := k.c.dir.fits(in, i, clauses); err != nil {
					return nil, err
				} else if ok {
					return k.expand(in, i, k.c.item(in, i))
				}
			}
			return nil, nil
		})
	}
}

func (d *directory) fits(in collection, i int, clauses []clause) (bool, error) {
	for _, cl := range clauses {
		var have string
		switch {
		case cl.op != "eq":
			return false, unsupported(cl)
		case in == colGrants && cl.field == "clientId":
			have = d.apps[d.grants[i].client].spID
		case in == colGrants && cl.field == "resourceId":
			have = d.apps[d.grants[i].resource].spID
		case in != colGrants && cl.field == "appId":
			have = d.apps[i].appID
		case in != colGrants && cl.field == "displayName":
			have = d.apps[i].name
		default:
			return false, unsupported(cl)
		}
		if have != cl.value {
			return false, nil
		}
	}
	return true, nil
}

// listPage answers one page of a plain list; at returns nothing for items that
// are not meant.
func (k *call) listPage(set string, size int, at func(i int) (object, error)) reply {
	top, ok := k.pageSize(k.c.o.DirectoryPage, maxDirectoryPage)
	if !ok {
		return refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "Invalid page size specified: '%s'.", k.q.Get("$top"))
	}
	var tok pageToken
	if s := k.q.Get("$skiptoken"); s != "" && !k.c.tokens.open(s, &tok) {
		return refuse(http.StatusBadRequest, "Directory_ExpiredPageToken", "The specified page token value is invalid.")
	}
	ans := reply{body: object{k.context(set)}, paged: true}
	i := tok.At
	for ; i < size && len(ans.items) < top; i++ {
		o, err := at(i)
		if err != nil {
			return refuse(http.StatusBadRequest, "Request_UnsupportedQuery", "%s", err)
		}
		if o != nil {
			ans.items = append(ans.items, k.selected(o))
		}
	}
	if i < size {
		q := k.q
		q.Set("$skiptoken", k.c.tokens.seal(pageToken{At: i}))
		ans.body = append(ans.body, member{"@odata.nextLink", k.link(k.fault.ForeignNext, q)})
	}
	return ans
}

// memberOf answers one object by its id.
func memberOf(in collection) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		id := k.r.PathValue("id")
		for i := range k.c.dir.size(in) {
			if k.c.dir.present(in, i) && k.c.dir.id(in, i) == id {
				return reply{body: append(object{k.context(string(in) + "/$entity")}, k.selected(k.c.item(in, i))...)}
			}
		}
		return notFound(id)
	}
}

func (d *directory) id(in collection, i int) string {
	switch in {
	case colGrants:
		return d.grants[i].id
	case colApplications:
		return d.apps[i].regID
	}
	return d.apps[i].spID
}

func notFound(id string) reply {
	return refuse(http.StatusNotFound, "Request_ResourceNotFound", "Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

// assignments answers appRoleAssignedTo and appRoleAssignments: those whose
// one end is the service principal of the path. Documented: there is no delta.
func assignments(end func(assignment) int) handler {
	return func(k *call) reply {
		k.c.mu.Lock()
		defer k.c.mu.Unlock()
		d := &k.c.dir
		id := k.r.PathValue("id")
		sp := slices.IndexFunc(d.apps, func(a *app) bool { return a.spID == id && !a.removed })
		if sp < 0 {
			return notFound(id)
		}
		return k.listPage("servicePrincipals('"+id+"')/appRoleAssignedTo", len(d.assignments), func(i int) (object, error) {
			if end(d.assignments[i]) != sp {
				return nil, nil
			}
			return k.c.assignment(d.assignments[i]), nil
		})
	}
}
