package msgraph

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/appgovd/appgovd/internal/fault"
)

// Finding is what a check found out about one thing: the token, the clock, a source.
type Finding struct {
	What   string // "token", "permissions", "clock", or the name of a source; of the Management Activity API "office token" and "office permissions"
	OK     bool
	Text   string // what was seen
	Advice string // what helps; "" where nothing is wrong
}

// Check asks for a token and reads the first page of every source, one after the
// other, keeping nothing. It says what is missing and how to mend it. Without a token
// nothing else is tried.
func (p *Provider) Check(ctx context.Context) []Finding {
	var out []Finding
	for _, api := range p.apis() {
		token, err := api.creds.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scopeOf(api.origin.String())}})
		if err != nil {
			return append(out, failure(api.what("token"), err))
		}
		out = append(out, Finding{What: api.what("token"), OK: true, Text: "given by " + api.cfg.LoginURL})
		if held, ok := rolesOf(token.Token); ok {
			out = append(out, p.permissions(api, held))
		}
	}
	clock := Finding{What: "clock", OK: true, Text: "agrees with the service's"}
	for _, n := range p.sources {
		f, skew := p.try(ctx, n)
		out = append(out, f)
		if skew.Abs() > time.Minute {
			clock = Finding{What: "clock", Text: fmt.Sprintf("the service's clock is %s ahead of this machine's", skew.Round(time.Second)),
				Advice: "set this machine's clock, as by NTP: tokens and certificates are valid by the clock"}
		}
	}
	return append(out, clock)
}

// api is one of the APIs that are read.
type api struct {
	*client
	id     string // client id
	prefix string // of findings
}

func (a api) what(s string) string { return a.prefix + s }

// apis are those that some source reads.
func (p *Provider) apis() []api {
	var all []api
	if slices.ContainsFunc(p.sources, func(n Named) bool { return !isFeed(n.name()) }) {
		all = append(all, api{p.client, GraphAppID, ""})
	}
	if p.office != nil {
		all = append(all, api{p.office, OfficeAppID, "office "})
	}
	return all
}

func (n Named) name() string { return n.Key[strings.LastIndexByte(n.Key, '/')+1:] }

func isFeed(name string) bool {
	return slices.ContainsFunc(feedSpecs(), func(s spec) bool { return s.name == name })
}

// permissions compares the roles of a token for an API with those that the sources need.
func (p *Provider) permissions(api api, held []string) Finding {
	var missing, more []string
	need := api.cfg.Permissions()
	for _, perm := range need {
		if perm.API == api.id && !slices.Contains(held, perm.Name) {
			missing = append(missing, perm.Name+" ("+strings.Join(perm.Sources, ", ")+")")
		}
	}
	for _, h := range held {
		if !slices.ContainsFunc(need, func(perm Permission) bool { return perm.Name == h }) {
			more = append(more, h)
		}
	}
	f := Finding{What: api.what("permissions"), OK: len(missing) == 0, Text: fmt.Sprintf("the token holds %d application permissions", len(held))}
	switch {
	case len(held) == 0:
		f.Text = "the token holds no application permission at all"
		f.Advice = "admin consent was not given: grant the permissions that appgovd setup entra lists as application permissions, and give admin consent"
	case len(missing) > 0:
		f.Text += "; missing: " + strings.Join(missing, ", ")
		f.Advice = "appgovd setup entra prints a script that grants them; a new token comes with the next request"
	}
	if len(more) > 0 {
		f.Text += "; more than is needed: " + strings.Join(more, ", ")
	}
	return f
}

// try reads the first page of a source, of a table also the first result.
func (p *Provider) try(ctx context.Context, n Named) (Finding, time.Duration) {
	name := n.name()
	page, err := n.Source.Read(ctx, nil)
	// The schema, the list of APIs, the subscription come first.
	for range 2 {
		if err == nil && page.Fetched == 0 && page.Wait == 0 {
			page, err = n.Source.Read(ctx, page.Cursor)
		}
	}
	var skew time.Duration
	if c, ok := n.Source.(interface{ clockSkew() time.Duration }); ok {
		skew = c.clockSkew()
	}
	var lacks *NotInCloud
	if errors.As(err, &lacks) && !slices.Contains(p.asked, name) {
		return Finding{What: name, OK: true, Text: "left out: " + lacks.Error()}, skew
	}
	if err != nil {
		return failure(name, err), skew
	}
	f := Finding{What: name, OK: true, Text: fmt.Sprintf("%d records on the first page", page.Fetched)}
	if page.Fetched == 0 {
		f.Text = "answers, and has nothing yet"
	}
	if len(page.Quarantined) > 0 {
		f.OK, f.Text = false, fmt.Sprintf("%d of %d records cannot be decoded: %s", len(page.Quarantined), page.Fetched, page.Quarantined[0].Detail)
		f.Advice = "please report the reason and an anonymised record"
	}
	return f, skew
}

// clockSkew is that of the service's clock against this machine's.
func (c *caller) clockSkew() time.Duration { return c.skew }

func failure(what string, err error) Finding {
	f := Finding{What: what, Text: err.Error(), Advice: fault.Hint(err)}
	var r *refusal
	if f.Advice == "" && errors.As(err, &r) {
		f.Advice = "try again; if it lasts, give Microsoft's support the request id " + r.RequestID()
	}
	return f
}

// rolesOf reads the application permissions that a token names. That is a hint only:
// the text of a token is the business of the API that it is for.
func rolesOf(token string) ([]string, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil, false
	}
	var c struct{ Roles []string }
	if json.Unmarshal(b, &c) != nil {
		return nil, false
	}
	slices.Sort(c.Roles)
	return c.Roles, true
}
