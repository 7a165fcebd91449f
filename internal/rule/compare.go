package rule

import (
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Measure is what a comparison looks at.
type Measure uint8

// Measures.
const (
	MeasureCount    Measure = iota
	MeasureSum              // of Compare.Value
	MeasureDistinct         // different values of Compare.Distinct
	MeasureShare            // percent of the matches for which Compare.Counts holds
)

// Baseline is what a comparison holds a window against.
type Baseline uint8

// Baselines.
const (
	BaselinePrevious   Baseline = iota // the window before
	BaselineMean                       // the mean of the Span windows before
	BaselineHourOfWeek                 // the mean of the same window in the Span weeks before
	BaselineNone                       // a share alone
)

// Week is the distance of the windows of BaselineHourOfWeek.
const Week = 7 * 24 * time.Hour

// Compare fires when the measure of the window that holds the event is above its
// baseline. Windows of one length follow each other from 1970 on, in UTC.
type Compare struct {
	Measure    Measure
	Distinct   Key
	By         Key
	Window     time.Duration
	Baseline   Baseline
	Span       int     // windows or weeks
	Percent    float64 // of the baseline; of the whole for BaselineNone
	Sigma      float64 // standard deviations above the mean, where Percent is 0
	AtLeast    int64   // what the measure must reach; of a share the matches
	MinSamples int     // windows that the baseline is made of at least
	MaxKeys    int

	value numFunc
	holds truthFunc
}

// Value is what a sum adds for the event at hand; false = unknown.
func (c *Compare) Value(env *Env) (int64, bool) { return c.value(env) }

// Counts tells whether the event at hand belongs to the share.
func (c *Compare) Counts(env *Env) Truth { return c.holds(env) }

// Compared is what a comparison found, for the alert.
type Compared struct {
	Value, Baseline int64 // of a share: percent
	Known           bool
}

// comparedFields are the fields that the alert of a rule with compare may name.
func comparedFields() map[string]field {
	num := func(get func(*Compared) int64) field {
		return field{kind: kindInt, num: func(env *Env) (int64, bool) { return get(&env.Compared), env.Compared.Known }}
	}
	return map[string]field{
		"compare.value":    num(func(c *Compared) int64 { return c.Value }),
		"compare.baseline": num(func(c *Compared) int64 { return c.Baseline }),
	}
}

const maxSpan = 2000 // windows of a baseline

func (b block) compare() *Compare {
	x, ok := b.child("compare")
	if !ok {
		return nil
	}
	x.allow("measure by window baseline history above at_least min_samples max_keys", "")
	out := &Compare{
		By: x.key("by"), Window: x.duration("window"), AtLeast: x.number("at_least", 1, 1<<53, 1),
		MaxKeys: int(x.number("max_keys", 1, 10_000_000, defaultMaxKeys)),
	}
	x.measure(out)
	x.baseline(out)
	x.above(out)
	x.need("by", "what is measured together, such as [app.id]; [] measures all together")
	x.need("window", "the length of what is compared, such as \"1h\" or \"1d\"")
	if a, ok := x.attr("window"); ok && out.Window > 0 && out.Window < time.Minute {
		x.c.fail(a.Expr.Range(), "bad_duration", "Window too short", "window must be a minute at least.")
	}
	return out
}

// measure reads count(), sum(x), distinct(x, ...) or share(condition).
func (b block) measure(out *Compare) {
	const advice = "count(), sum(x), distinct(x) or share(condition)"
	a, ok := b.attr("measure")
	if !ok {
		b.missing("measure", advice)
		return
	}
	call, ok := a.Expr.(*hclsyntax.FunctionCallExpr)
	if !ok {
		b.c.fail(a.Expr.Range(), "bad_measure", "Bad measure", "measure is one of %s.", advice)
		return
	}
	arity := 1
	switch call.Name {
	case "count":
		arity = 0
	case "sum":
		out.Measure = MeasureSum
	case "distinct":
		out.Measure = MeasureDistinct
	case "share":
		out.Measure = MeasureShare
	default:
		b.c.fail(call.NameRange, "bad_measure", "Bad measure", "measure is one of %s.%s", advice, suggest(call.Name, []string{"count", "sum", "distinct", "share"}))
		return
	}
	if len(call.Args) != arity && (call.Name != "distinct" || len(call.Args) == 0) {
		b.c.fail(call.Range(), "wrong_arguments", "Wrong number of arguments", "measure is one of %s.", advice)
		return
	}
	b.measured(out, call.Args)
}

func (b block) measured(out *Compare, args []hclsyntax.Expression) {
	switch out.Measure {
	case MeasureSum:
		n := b.c.expression(args[0])
		b.c.want(n, "What sum adds up", kindInt)
		out.value = n.num
	case MeasureDistinct:
		out.Distinct = b.keyOf("distinct", args)
	case MeasureShare:
		n := b.c.expression(args[0])
		b.c.want(n, "The condition of share", kindBool)
		out.holds = n.truth
	}
}

func (b block) baseline(out *Compare) {
	const advice = "\"previous\", \"hour_of_week\" or the length of a mean, such as \"14d\""
	s, at := b.text("baseline")
	history := b.duration("history")
	switch {
	case s == "" && out.Measure == MeasureShare:
		out.Baseline = BaselineNone
	case s == "":
		b.need("baseline", advice)
	case s == "previous":
		out.Span = 1
	case s == "hour_of_week":
		out.Baseline, out.Span = BaselineHourOfWeek, int(history/Week)
		if history == 0 {
			out.Span = 4
		}
		if out.Window > 0 && (Week%out.Window != 0 || out.Window >= Week) || out.Span == 0 {
			b.c.fail(at, "bad_baseline", "Bad baseline", "hour_of_week needs a window that a week is a multiple of, and a history of a week at least.")
		}
	default:
		b.mean(out, s, at, advice)
	}
	if a, ok := b.attr("history"); ok && out.Baseline != BaselineHourOfWeek {
		b.c.fail(a.NameRange, "unexpected_attribute", "Nothing to do with this baseline", "history is how far back hour_of_week looks; a mean has its length in baseline.")
	}
	usual := out.Span
	if out.Span > 3 {
		usual = max(3, out.Span/2)
	}
	out.MinSamples = int(b.number("min_samples", 1, max(1, int64(out.Span)), int64(usual)))
	b.c.grammar.note(b.path, "min_samples", attribute{"type": "integer", "minimum": 1, "maximum": maxSpan}) // of any baseline
}

func (b block) mean(out *Compare, s string, at hcl.Range, advice string) {
	d, err := parseDuration(s)
	if err != nil {
		b.c.fail(at, "bad_baseline", "Bad baseline", "baseline is %s.%s", advice, suggest(s, []string{"previous", "hour_of_week"}))
		return
	}
	out.Baseline = BaselineMean
	if out.Window == 0 {
		return
	}
	out.Span = int(min(d/out.Window, maxSpan+1))
	if out.Span < 2 || out.Span > maxSpan {
		b.c.fail(at, "bad_baseline", "Bad baseline", "A mean is made of 2 to %d windows; \"%s\" holds %d.", maxSpan, s, d/out.Window)
	}
}

// above reads a factor, "300 %" or "3 sigma".
func (b block) above(out *Compare) {
	const advice = "a factor such as 3, \"300 %\" of the baseline, or \"3 sigma\" above its mean"
	v, at, ok := b.value("above")
	if !ok {
		b.need("above", advice)
		return
	}
	var amount float64
	unit := ""
	switch v := v.(type) {
	case int64:
		amount, unit = float64(v)*100, "%"
	case string:
		for _, u := range []string{"%", "sigma"} {
			if n, found := strings.CutSuffix(strings.TrimSpace(v), u); found {
				amount, _ = strconv.ParseFloat(strings.TrimSpace(n), 64)
				unit = u
			}
		}
	}
	if !(amount > 0 && amount <= 1e9) {
		b.c.fail(at, "bad_amount", "Bad amount", "above is %s.", advice)
		return
	}
	if unit == "%" {
		out.Percent = amount
		if out.Measure == MeasureShare && out.Baseline == BaselineNone && amount >= 100 {
			b.c.fail(at, "never_fires", "Nothing is above all", "A share is 100 %% at most, and above means more than.")
		}
		return
	}
	out.Sigma = amount
	if out.Baseline == BaselinePrevious || out.Baseline == BaselineNone {
		b.c.fail(at, "bad_amount", "Nothing deviates", "sigma needs a baseline of several windows: a mean such as \"14d\", or \"hour_of_week\".")
	}
}
