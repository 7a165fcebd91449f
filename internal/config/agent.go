package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/zclconf/go-cty/cty"
)

// setAgent takes the one agent block, with defaults for what it leaves out.
func (c *Config) setAgent(bodies []agentBody) hcl.Diagnostics {
	var b agentBody
	var diags hcl.Diagnostics
	if len(bodies) > 0 {
		b = bodies[0]
	}
	for _, extra := range bodies[min(1, len(bodies)):] {
		rng := extra.Range
		diags = append(diags, errorf(&rng, "duplicate_agent", "Duplicate agent block", "There is one agent; the other block is at %s.", b.Range))
	}
	p := parser{body: b.Body, at: b.Range}
	c.Agent = Agent{
		StateDir:        or(b.StateDir, "/var/lib/appgovd"),
		InitialLookback: p.duration("initial_lookback", b.InitialLookback, 24*time.Hour, 0, 90*24*time.Hour),
		MaxBytes:        p.size("max_bytes", b.MaxBytes, 10<<30, 64<<20),
		History:         p.duration("history", b.History, 7*24*time.Hour, 0, math.MaxInt64),
		AdminSocket:     b.AdminSocket,
		MetricsListen:   b.MetricsListen,
		Compression:     p.choice("compression", or(b.Compression, "zstd"), "zstd", "none"),
		LogLevel:        p.choice("log_level", or(b.LogLevel, "info"), "debug", "info", "warn", "error"),
		LogFormat:       p.choice("log_format", or(b.LogFormat, "json"), "json", "console"),
		TimeZone:        or(b.TimeZone, "UTC"),
		TimeZones:       b.TimeZones,
		Tick:            p.duration("tick", b.Tick, 30*time.Second, time.Second, time.Hour),
		Snapshot:        p.duration("snapshot", b.Snapshot, 10*time.Minute, time.Second, 24*time.Hour),
		ShutdownTimeout: p.duration("shutdown_timeout", b.ShutdownTimeout, 20*time.Second, time.Second, 10*time.Minute),
		DeadLetters:     p.duration("dead_letter_history", b.DeadLetters, 90*24*time.Hour, time.Hour, math.MaxInt64),
		ReaderGrace:     p.duration("reader_grace", b.ReaderGrace, 24*time.Hour, 0, 90*24*time.Hour),
		OverflowDir:     b.OverflowDir,
		OverflowBytes:   p.size("overflow_bytes", b.OverflowBytes, 10<<30, 64<<20),
		Links:           b.Links,
		Body:            b.Body,
		Range:           b.Range,
	}
	if _, err := time.LoadLocation(c.Agent.TimeZone); err != nil {
		p.fail("time_zone", "Unknown time zone", "%v. Use a name of the time zone database, such as \"Europe/Berlin\".", err)
	}
	return append(diags, p.diags...)
}

func or(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// parser turns attribute texts into values and points at the attribute when one
// is wrong.
type parser struct {
	body  hcl.Body
	at    hcl.Range
	diags hcl.Diagnostics
}

func (p *parser) fail(attr, summary, format string, args ...any) {
	rng := AttributeRange(p.body, attr, p.at)
	p.diags = append(p.diags, errorf(&rng, "invalid_value", summary, format, args...))
}

func (p *parser) duration(attr, text string, fallback, low, high time.Duration) time.Duration {
	if text == "" {
		return fallback
	}
	d, err := ParseDuration(text)
	switch {
	case err != nil:
		p.fail(attr, "Invalid duration", "%v", err)
	case d < low || d > high:
		p.fail(attr, "Duration out of range", "%s must lie between %s and %s.", attr, low, high)
	default:
		return d
	}
	return fallback
}

func (p *parser) size(attr, text string, fallback, low int64) int64 {
	if text == "" {
		return fallback
	}
	n, err := ParseSize(text)
	switch {
	case err != nil:
		p.fail(attr, "Invalid size", "%v", err)
	case n < low:
		p.fail(attr, "Size out of range", "%s must be at least %d bytes.", attr, low)
	default:
		return n
	}
	return fallback
}

func (p *parser) choice(attr, value string, allowed ...string) string {
	if !contains(allowed, value) {
		p.fail(attr, "Invalid value", "%s is %q; it must be one of %s.%s", attr, value, strings.Join(allowed, ", "), Suggest(value, allowed))
	}
	return value
}

func (p *parser) severity(attr, value string) string {
	return p.choice(attr, value, "informational", "low", "medium", "high", "critical")
}

// AttributeRange is the place of an attribute's value in a body, "block.name"
// within a block and "map.key" an entry of a map, or of the block, or fallback.
func AttributeRange(body hcl.Body, name string, fallback hcl.Range) hcl.Range {
	if body == nil {
		return fallback
	}
	first, rest, nested := strings.Cut(name, ".")
	content, _, _ := body.PartialContent(&hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: first}}, Blocks: []hcl.BlockHeaderSchema{{Type: first}}})
	switch {
	case content == nil:
		return fallback
	case content.Attributes[first] != nil:
		return entryRange(content.Attributes[first].Expr, rest)
	case len(content.Blocks) > 0 && nested:
		return AttributeRange(content.Blocks[0].Body, rest, content.Blocks[0].DefRange)
	case len(content.Blocks) > 0:
		return content.Blocks[0].DefRange
	default:
		return fallback
	}
}

// entryRange is the place of an entry of a map, with its key, or of the whole.
func entryRange(x hcl.Expression, key string) hcl.Range {
	entries, _ := hcl.ExprMap(x)
	for _, e := range entries {
		k, diags := e.Key.Value(nil)
		if key != "" && !diags.HasErrors() && k.Type() == cty.String && k.IsKnown() && !k.IsNull() && k.AsString() == key {
			return hcl.RangeBetween(e.Key.Range(), e.Value.Range())
		}
	}
	return x.Range()
}

// Decode fills target, an adapter's configuration struct with hcl tags, from a
// block's body: unknown and missing attributes are reported with advice.
func Decode(b Block, target any) hcl.Diagnostics {
	return gohcl.DecodeBody(b.Body, Context(), target)
}

// ParseDuration is time.ParseDuration with days: "30d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	days, rest, ok := strings.Cut(s, "d")
	if !ok {
		d, err := time.ParseDuration(s)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%q is no duration: write \"30s\", \"5m\", \"12h\" or \"7d\"", s)
		}
		return d, nil
	}
	n, err := strconv.ParseUint(days, 10, 15)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration: write \"30s\", \"5m\", \"12h\" or \"7d\"", s)
	}
	d := time.Duration(n) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	more, err := ParseDuration(rest)
	return d + more, err
}

// ParseSize reads "512MiB", "10GB", "4096".
func ParseSize(s string) (int64, error) {
	bad := fmt.Errorf("%q is no size: write \"512MiB\" or \"10GiB\"", s)
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	if err != nil {
		return 0, bad
	}
	units := map[string]int64{"": 1, "B": 1, "kB": 1e3, "KiB": 1 << 10, "MB": 1e6, "MiB": 1 << 20, "GB": 1e9, "GiB": 1 << 30, "TB": 1e12, "TiB": 1 << 40}
	unit, ok := units[strings.TrimSpace(s[i:])]
	if !ok || n > math.MaxInt64/unit {
		return 0, bad
	}
	return n * unit, nil
}
