package rule

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"
)

func networkFunctions() map[string]function {
	return map[string]function{
		"cidr_match": {
			signature: "cidr_match(ip, network...)",
			doc:       "Whether an address lies in one of the networks, IPv4 or IPv6. Unknown for what is no address.",
			examples:  []Example{{`cidr_match(source.ip, "203.0.113.0/24", "2001:db8::/32")`, "true"}, {`cidr_match("n/a", "10.0.0.0/8")`, "unknown"}},
			pure:      true,
			compile:   cidrFunction,
		},
		"is_private_ip": {
			signature: "is_private_ip(ip)",
			doc:       "Whether an address is private, loopback, link-local or unspecified (RFC 1918, RFC 4193, RFC 4291).",
			examples:  []Example{{`is_private_ip("10.1.2.3")`, "true"}, {`is_private_ip(source.ip)`, "false"}},
			pure:      true,
			compile:   privateFunction,
		},
	}
}

func cidrFunction(c *checker, at *call) node {
	if !c.arity(at, 2, -1) || !c.want(at.args[0], "The first argument of cidr_match", kindString) {
		return bad()
	}
	texts, ok := c.texts(at, 1)
	if !ok {
		return bad()
	}
	nets := make([]netip.Prefix, 0, len(texts))
	for _, t := range texts {
		p, err := netip.ParsePrefix(t)
		if err != nil {
			return c.fail(at.rng, "bad_network", "Bad network", "%q is not a network such as \"10.0.0.0/8\" or \"2001:db8::/32\".", t)
		}
		nets = append(nets, p.Masked())
	}
	return boolNode(at.cost(15), overIP(at.args[0].str, func(ip netip.Addr) bool {
		for _, n := range nets {
			if n.Contains(ip) {
				return true
			}
		}
		return false
	}))
}

func privateFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of is_private_ip", kindString) {
		return bad()
	}
	return boolNode(at.cost(15), overIP(at.args[0].str, func(ip netip.Addr) bool {
		return ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()
	}))
}

func overIP(f strFunc, test func(netip.Addr) bool) truthFunc {
	return func(env *Env) Truth {
		s, ok := f(env)
		if !ok || !strings.ContainsAny(s, ".:") {
			return Unknown
		}
		ip, err := netip.ParseAddr(s)
		if err != nil {
			return Unknown
		}
		return truthOf(test(ip.Unmap().WithZone("")))
	}
}

func timeFunctions() map[string]function {
	return map[string]function{
		"age": {
			signature: "age(time)",
			doc:       "How long ago a time was, seen from the event, or from the tick for a policy; negative for a time to come.",
			examples:  []Example{{`age(app.first_seen)`, "30 days"}, {`age(app.first_seen) < duration("7d")`, "false"}},
			compile:   ageFunction,
		},
		"duration": {
			signature: `duration("90d")`,
			doc:       "A length of time: numbers with the units w, d, h, m and s, such as \"1d12h\".",
			examples:  []Example{{`duration("1d12h") == duration("36h")`, "true"}},
			compile:   durationFunction,
		},
		"time": {
			signature: `time("2026-01-31T00:00:00Z")`,
			doc:       "A moment, in RFC 3339 form, or a date: its midnight in the tenant's zone.",
			examples:  []Example{{`app.created < time("2027-01-01")`, "true"}},
			compile:   timeFunction,
		},
		"hour": {
			signature: "hour()",
			doc:       "Hour of the event, 0 to 23, in the tenant's zone.",
			examples:  []Example{{`hour()`, "12"}, {`hour() < 6 || hour() >= 20`, "false"}},
			compile:   clockFunction(func(t time.Time) int64 { return int64(t.Hour()) }),
		},
		"weekday": {
			signature: "weekday()",
			doc:       "Day of the week of the event, 1 (Monday) to 7 (Sunday), in the tenant's zone.",
			examples:  []Example{{`weekday()`, "2"}, {`weekday() >= 6`, "false"}},
			compile:   clockFunction(func(t time.Time) int64 { return int64(t.Weekday()+6)%7 + 1 }),
		},
	}
}

func ageFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of age", kindTime) {
		return bad()
	}
	f := at.args[0].num
	return node{kind: kindDuration, cost: at.cost(2), num: func(env *Env) (int64, bool) {
		t, ok1 := f(env)
		now, ok2 := nanos(env.Now)
		return sub(now, t), ok1 && ok2
	}}
}

func durationFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) {
		return bad()
	}
	s, ok := at.args[0].text()
	if !ok {
		return c.fail(at.rng, "wrong_type", "Not a constant string", "Write a duration as duration(\"90d\").")
	}
	d, err := parseDuration(s)
	if err != nil {
		return c.fail(at.rng, "bad_duration", "Bad duration", "%s.", err)
	}
	return node{kind: kindDuration, konst: true, num: func(*Env) (int64, bool) { return int64(d), true }}
}

// parseDuration reads numbers with units: "90d", "1d12h".
func parseDuration(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration such as \"90d\", \"12h\" or \"1d12h\"; the units are w, d, h, m and s", s)
	if s == "" {
		return 0, bad
	}
	total := int64(0)
	for i := 0; i < len(s); {
		n, digits := int64(0), 0
		for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			n, digits = add(mul(n, 10), int64(s[i]-'0')), digits+1
		}
		if digits == 0 || i == len(s) {
			return 0, bad
		}
		unit := unitOf(s[i])
		if unit == 0 {
			return 0, bad
		}
		total = add(total, mul(n, int64(unit)))
		i++
	}
	if total == math.MaxInt64 {
		return 0, fmt.Errorf("%q is too long", s)
	}
	return time.Duration(total), nil
}

func unitOf(c byte) time.Duration {
	switch c {
	case 'w':
		return 7 * 24 * time.Hour
	case 'd':
		return 24 * time.Hour
	case 'h':
		return time.Hour
	case 'm':
		return time.Minute
	case 's':
		return time.Second
	}
	return 0
}

func timeFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) {
		return bad()
	}
	s, ok := at.args[0].text()
	if !ok {
		return c.fail(at.rng, "wrong_type", "Not a constant string", "Write a time as time(\"2026-01-31T00:00:00Z\").")
	}
	t, err := parseTime(s, c.zone)
	if err != nil {
		return c.fail(at.rng, "bad_time", "Bad time", "%s.", err)
	}
	v, ok := nanos(t)
	return node{kind: kindTime, konst: true, num: func(*Env) (int64, bool) { return v, ok }}
}

// parseTime reads RFC 3339 or a date.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is neither a time such as \"2026-01-31T00:00:00Z\" nor a date such as \"2026-01-31\"", s)
	}
	return t, nil
}

func clockFunction(read func(time.Time) int64) func(*checker, *call) node {
	return func(c *checker, at *call) node {
		if !c.arity(at, 0, 0) {
			return bad()
		}
		zone := c.zone
		return node{kind: kindInt, cost: 5, num: func(env *Env) (int64, bool) {
			if env.Now.IsZero() {
				return 0, false
			}
			return read(env.Now.In(zone)), true
		}}
	}
}

func similarityFunctions() map[string]function {
	return map[string]function{
		"lookalike": {
			signature: "lookalike(name, list)",
			doc:       "Whether words of a name look like an entry of a list, or are a typing error away from it, and are not the entry itself. Characters are compared by what they look like: other scripts, rn for m, 0 for o, 1 for l.",
			examples:  []Example{{`lookalike("Micr0soft Teams", "brands")`, "true"}, {`lookalike("Mіcrosoft", "brands")`, "true"}, {`lookalike("Microsoft Teams", "brands")`, "false"}},
			compile:   lookalikeFunction,
		},
		"mixed_script": {
			signature: "mixed_script(text)",
			doc:       "Whether a word mixes scripts whose letters can be taken for each other's: Latin, Cyrillic, Greek, Armenian, Cherokee.",
			examples:  []Example{{`mixed_script("Pаyroll")`, "true"}, {`mixed_script("Payroll Зарплата")`, "false"}},
			pure:      true,
			compile:   mixedFunction,
		},
	}
}

func lookalikeFunction(c *checker, at *call) node {
	if !c.arity(at, 2, 2) || !c.want(at.args[0], "The first argument of lookalike", kindString, kindSet) {
		return bad()
	}
	l, ok := c.named(at.args[1])
	if !ok {
		return bad()
	}
	brands := make([]brand, 0, len(l.texts))
	for _, t := range l.texts {
		brands = append(brands, newBrand(c.twins, t, l.until(t)))
	}
	twins := c.twins
	return boolNode(at.cost(500), over(at.args[0], func(env *Env, s string) Truth {
		now, _ := nanos(env.Now)
		return truthOf(lookalike(twins, brands, s, now))
	}))
}

func mixedFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) || !c.want(at.args[0], "The argument of mixed_script", kindString, kindSet) {
		return bad()
	}
	return boolNode(at.cost(50), over(at.args[0], func(_ *Env, s string) Truth { return truthOf(mixedScript(s)) }))
}
