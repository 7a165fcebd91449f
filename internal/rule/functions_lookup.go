package rule

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
	"golang.org/x/net/publicsuffix"

	"github.com/appgovd/appgovd/internal/event"
)

func lookupFunctions() map[string]function {
	return map[string]function{
		"lookup": {
			signature: `lookup(list, text, "attribute")`,
			doc:       "What a list says of an entry: the value of one of its attributes. Unknown where the text is no entry, the entry has expired, or it lacks the attribute.",
			examples:  []Example{{`lookup("owners_of", app.name, "team")`, "messaging"}, {`lookup("owners_of", "another", "team")`, "unknown"}},
			compile:   lookupFunction,
		},
		"registrable_domain": {
			signature: "registrable_domain(text)",
			doc:       "The domain that somebody registered, of a host name or a URL: what stands before a public suffix (publicsuffix.org), and that suffix. Unknown for addresses, suffixes alone and what is no name.",
			examples:  []Example{{`registrable_domain("https://login.contoso.co.uk:8443/cb")`, "contoso.co.uk"}, {`registrable_domain("203.0.113.9")`, "unknown"}},
			compile:   domainFunction,
		},
		"edit_distance": {
			signature: "edit_distance(a, b)",
			doc:       "How many characters must be inserted, deleted or replaced to make one text the other, ignoring case. Unknown for texts of more than 256 characters.",
			examples:  []Example{{`edit_distance("Contoso", "contsoo")`, "2"}, {`edit_distance(app.name, "Contoso Mail Sink") <= 2`, "true"}},
			compile:   distanceFunction,
		},
		"ua_family": {
			signature: "ua_family(text)",
			doc:       "The kind of program that a user agent names: script (PowerShell, Python, curl, Go and the like), attack_tool (those that name themselves), sdk, office, mobile, browser or other.",
			examples:  []Example{{`ua_family(detail("User-Agent"))`, "script"}, {`ua_family("Mozilla/5.0 (Windows NT 10.0) Chrome/142.0 Safari/537.36")`, "browser"}},
			compile:   familyFunction,
		},
		"percent": {
			signature: "percent(part, whole)",
			doc:       "Part as a percentage of whole, rounded towards zero; percent(length(after(x)), length(before(x))) is how far a set grew. Unknown where whole is zero.",
			examples:  []Example{{`percent(3, 12)`, "25"}, {`percent(length(after("AppAddress")), length(before("AppAddress")))`, "100"}, {`percent(1, 0)`, "unknown"}},
			compile:   percentFunction,
		},
		"unknown_reason": {
			signature: "unknown_reason(field)",
			doc:       "Why a field is unknown: not_collected (the source or the database behind it is not read, or the app is not in the inventory), not_licensed (the tenant needs a licence for it) or not_exposed (the provider does not say it). Unknown itself where the field is known.",
			examples:  []Example{{`unknown_reason(app.owners)`, "not_collected"}, {`unknown_reason(actor.upn)`, "not_exposed"}, {`unknown_reason(app.name)`, "unknown"}},
			compile:   reasonFunction,
		},
	}
}

func lookupFunction(c *checker, at *call) node {
	if !c.arity(at, 3, 3) {
		return bad()
	}
	l, ok := c.named(at.args[0])
	if !ok || !c.want(at.args[1], "The second argument of lookup", kindString) {
		return bad()
	}
	name, ok := at.args[2].text()
	if !ok {
		return c.fail(at.args[2].rng, "wrong_type", "Not a constant string", "The name of an attribute is a constant string.")
	}
	if known := l.attributes(); !has(known, name) {
		return c.fail(at.args[2].rng, "unknown_attribute", "Unknown attribute", "No entry of the list %q has an attribute %q.%s", l.name, name, suggest(name, known))
	}
	f := at.args[1].str
	return node{kind: kindString, cost: at.cost(5), str: func(env *Env) (string, bool) {
		s, ok := f(env)
		if !ok {
			return "", false
		}
		now, _ := nanos(env.Now)
		return l.value(s, name, now)
	}}
}

func domainFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of registrable_domain", kindString) {
		return bad()
	}
	return text1(at, 40, registrable)
}

// text1 is a function of one text that depends on nothing else.
func text1(at *call, cost int, of func(string) (string, bool)) node {
	f := at.args[0].str
	return node{kind: kindString, cost: at.cost(cost), konst: at.args[0].konst, str: func(env *Env) (string, bool) {
		s, ok := f(env)
		if !ok {
			return "", false
		}
		return of(s)
	}}
}

// registrable is the registrable domain of a host or URL.
func registrable(s string) (string, bool) {
	host := s
	if strings.Contains(s, "/") {
		if !strings.Contains(s, "://") {
			s = "//" + s
		}
		u, err := url.Parse(s)
		if err != nil {
			return "", false
		}
		host = u.Host
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.ToLower(strings.TrimSpace(host)), ".")
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil || strings.ContainsAny(host, " @[]*") {
		return "", false
	}
	domain, err := publicsuffix.EffectiveTLDPlusOne(host)
	return domain, err == nil
}

const maxDistance = 256 // characters

func distanceFunction(c *checker, at *call) node {
	if !c.arity(at, 2, 2) || !c.want(at.args[0], "The first argument of edit_distance", kindString) || !c.want(at.args[1], "The second argument of edit_distance", kindString) {
		return bad()
	}
	f, g := at.args[0].str, at.args[1].str
	return node{kind: kindInt, cost: at.cost(100), konst: at.konst(), num: func(env *Env) (int64, bool) {
		a, ok1 := f(env)
		b, ok2 := g(env)
		if !ok1 || !ok2 || utf8.RuneCountInString(a) > maxDistance || utf8.RuneCountInString(b) > maxDistance {
			return 0, false
		}
		return int64(levenshtein.ComputeDistance(foldString(a), foldString(b))), true
	}}
}

func familyFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of ua_family", kindString) {
		return bad()
	}
	return text1(at, 60, func(s string) (string, bool) { return family(s), true })
}

// family tells the kind of program by the first mark that is found; a browser is
// what claims to be one and bears no other mark.
func family(agent string) string {
	for _, f := range [...]struct {
		name  string
		marks []string
	}{
		{"attack_tool", []string{"aadinternals", "roadtools", "roadrecon", "azurehound", "graphrunner", "tokentactics", "teamfiltration", "evilginx", "o365spray", "msolspray"}},
		{"script", []string{"powershell", "python", "curl/", "wget/", "go-http-client", "okhttp", "axios", "node-fetch", "undici", "libwww-perl", "java/", "ruby", "httpie", "postman", "fasthttp", "aiohttp", "bav2ropc"}},
		{"sdk", []string{"azsdk", "azure-sdk", "msal", "graph-dotnet", "graph-java", "kiota", "terraform", "azurecli", "azure-cli", "nativehost"}},
		{"office", []string{"microsoft office", "outlook", "teams/", "onedrive", "skype"}},
		{"mobile", []string{"iphone", "ipad", "android", "cfnetwork", "dalvik"}},
		{"browser", []string{"mozilla/", "opera/"}},
	} {
		for _, m := range f.marks {
			if hasFold(agent, m) {
				return f.name
			}
		}
	}
	return "other"
}

func percentFunction(c *checker, at *call) node {
	if !c.arity(at, 2, 2) || !c.want(at.args[0], "The first argument of percent", kindInt) || !c.want(at.args[1], "The second argument of percent", kindInt) {
		return bad()
	}
	f, g := at.args[0].num, at.args[1].num
	return node{kind: kindInt, cost: at.cost(2), konst: at.konst(), num: func(env *Env) (int64, bool) {
		part, ok1 := f(env)
		whole, ok2 := g(env)
		if !ok1 || !ok2 {
			return 0, false
		}
		return quotient(mul(part, 100), whole)
	}}
}

// Why a field is unknown.
const (
	notExposed   = "not_exposed"
	notLicensed  = "not_licensed"
	notCollected = "not_collected"
)

// reasonOf is why a field is unknown where the part of the environment that holds
// it is there.
func reasonOf(field string) string {
	if name, ok := strings.CutPrefix(field, "app."); ok && isFigure(name) {
		return notCollected
	}
	switch field {
	case "app.owners", "app.idle", "app.last_used", "source.asn", "source.as_org", "source.country", "source.city":
		return notCollected
	case "app.federated_issuers", "app.directory_roles", "app.eligible_roles", "app.consent_requests", "app.credential_idle", "app.unused_permissions",
		"app.services", "app.governance_score", "app.privilege_level":
		return notCollected
	case "signin.risk_level":
		return notLicensed
	}
	return notExposed
}

func reasonFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) {
		return bad()
	}
	f, ok := c.fields[at.args[0].ident]
	if !ok {
		return c.fail(at.args[0].rng, "wrong_type", "Not a field", "The argument of unknown_reason is a field, such as app.owners.")
	}
	return node{kind: kindString, cost: at.cost(2), str: at.args[0].reason(f)}
}

// reason is why a node that is a field is unknown; unknown itself where it is known.
func (n node) reason(f field) strFunc {
	known, usual := n.known(), reasonOf(f.info.Name)
	return func(env *Env) (string, bool) {
		switch {
		case known(env):
			return "", false
		case f.info.From == event.FromApp && env.App == nil || f.info.From == event.FromActor && env.Actor == nil:
			return notCollected, true
		}
		return usual, true
	}
}
