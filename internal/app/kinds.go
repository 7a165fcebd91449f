package app

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/provider/msgraph"
	"github.com/appgovd/appgovd/internal/provider/msgraph/normalise"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/sink/alertmanager"
	"github.com/appgovd/appgovd/internal/sink/elastic"
	"github.com/appgovd/appgovd/internal/sink/file"
	"github.com/appgovd/appgovd/internal/sink/jsmops"
	"github.com/appgovd/appgovd/internal/sink/kafka"
	"github.com/appgovd/appgovd/internal/sink/pagerduty"
	"github.com/appgovd/appgovd/internal/sink/servicenow"
	"github.com/appgovd/appgovd/internal/sink/slack"
	"github.com/appgovd/appgovd/internal/sink/splunkhec"
	"github.com/appgovd/appgovd/internal/sink/stdout"
	"github.com/appgovd/appgovd/internal/sink/syslog"
	"github.com/appgovd/appgovd/internal/sink/teams"
	"github.com/appgovd/appgovd/internal/sink/webhook"
)

// sourceKind is one kind of source block: check decodes and validates its body
// without a network, build makes the tenant's sources.
type sourceKind struct {
	check func(config.Block) (checkedSource, hcl.Diagnostics)
}

type checkedSource struct {
	tenant   string   // tenant id: one source per record class of it
	provider string   // "entra"
	client   string   // client id by which it reads
	classes  []string // what it collects
	kinds    []string // of inventory objects among it
	stream   bool     // it belongs to the tenant of another block, where there is one
	secrets  []secret.Ref
	needs    msgraph.Registration // that it reads with
	build    func(context.Context, deps) (*sources, error)
}

type sources struct {
	list    []msgraph.Named
	close   func()
	budgets func() []msgraph.Budget
	delay   func(source string) time.Duration
	check   func(context.Context) []msgraph.Finding
}

func sourceKinds() map[string]sourceKind {
	return map[string]sourceKind{"entra": {checkEntra}, "kafka": {checkKafka}, "file": {checkFiles}}
}

func checkEntra(b config.Block) (checkedSource, hcl.Diagnostics) {
	var c msgraph.Config
	diags := config.Decode(b, &c)
	if diags.HasErrors() {
		return checkedSource{}, diags
	}
	for _, p := range c.Validate() {
		diags = append(diags, invalid(b, p.Field, p.Error(), p.Advice))
	}
	names := c.Sources()
	s := checkedSource{tenant: c.TenantID, provider: "entra", client: c.ClientID, classes: names, kinds: msgraph.ObjectKinds(names), secrets: c.Secrets(), needs: c.Registration()}
	s.build = func(ctx context.Context, d deps) (*sources, error) {
		p, err := msgraph.New(ctx, c, msgraph.Options{
			Name: b.Name, InitialLookback: d.lookback, Now: d.now, Log: d.log.Named("msgraph"), Metrics: d.metrics, Secret: d.secrets.Open, Version: d.version, Dial: d.dial,
			Decoder: normalise.NewHashing(c.TenantID, d.hasher), ReasonOf: normalise.ReasonOf,
		})
		if err != nil {
			return nil, err
		}
		return &sources{list: p.Sources(), close: p.Close, budgets: p.Budgets, check: p.Check, delay: func(key string) time.Duration { return c.Delay(path.Base(key)) }}, nil
	}
	return s, diags
}

// invalid points at the attribute of a block whose value is wrong.
func invalid(b config.Block, field, text, advice string) *hcl.Diagnostic {
	rng := config.AttributeRange(b.Body, field, b.Range)
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid " + field, Detail: joinAdvice(text, advice), Subject: &rng, Extra: diag.Code("invalid_value")}
}

func joinAdvice(text, advice string) string {
	if advice == "" {
		return text
	}
	return fmt.Sprintf("%s. %s", strings.TrimRight(text, ". "), advice)
}

// checkedSink builds one sink.
type checkedSink struct {
	resend uint64 // alerts that go out again after a restart: no acknowledgement
	config any    // decoded, for what only one kind has
	build  func(deps) (deliver.Sink, error)
}

func sinkKinds() map[string]func(config.Block) (checkedSink, hcl.Diagnostics) {
	return map[string]func(config.Block) (checkedSink, hcl.Diagnostics){
		"kafka": sinkOf(func(c kafka.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return kafka.New(c, kafka.Options{Secret: d.secrets.Open})
		}),
		"elasticsearch": sinkOf(func(c elastic.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return elastic.New(c, elastic.Options{Secret: d.secrets.Open, Events: d.events})
		}),
		"splunk_hec": sinkOf(func(c splunkhec.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return splunkhec.New(c, d.secrets.Open)
		}),
		"webhook": sinkOf(func(c webhook.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return webhook.New(c, d.secrets.Open)
		}),
		"pagerduty": sinkOf(func(c pagerduty.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return pagerduty.New(c, d.secrets.Open)
		}),
		"slack": sinkOf(func(c slack.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return slack.New(c, d.secrets.Open)
		}),
		"teams": sinkOf(func(c teams.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return teams.New(c, d.secrets.Open)
		}),
		"jsm_ops": sinkOf(func(c jsmops.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return jsmops.New(c, d.secrets.Open)
		}),
		"servicenow": sinkOf(func(c servicenow.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return servicenow.New(c, d.secrets.Open)
		}),
		"alertmanager": sinkOf(func(c alertmanager.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return alertmanager.New(c, d.secrets.Open)
		}),
		"file": sinkOf(func(c file.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return file.New(c, file.Options{Log: d.log.Named("file")})
		}),
		"syslog": sinkOf(func(c syslog.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return syslog.New(c)
		}),
		"stdout": sinkOf(func(c stdout.Config, d deps) (deliver.Sink, error) {
			c.Links = d.linksOr(c.Links)
			return stdout.New(c, stdout.Options{Out: d.stdout})
		}),
	}
}

// problems are the mistakes in the configuration of a sink, of alerts or of events.
func problems(c any, events bool) (found deliver.Problems) {
	if v, ok := c.(interface{ Validate() deliver.Problems }); ok {
		found = v.Validate()
	}
	if v, ok := c.(interface {
		ValidateKinds(events bool) deliver.Problems
	}); ok {
		found = append(found, v.ValidateKinds(events)...)
	}
	return found
}

func sinkOf[C any](build func(C, deps) (deliver.Sink, error)) func(config.Block) (checkedSink, hcl.Diagnostics) {
	return func(b config.Block) (checkedSink, hcl.Diagnostics) {
		var c C
		diags := config.Decode(b, &c)
		if !diags.HasErrors() {
			for _, p := range problems(c, b.Forward == config.ForwardEvents) {
				d := invalid(b, p.Field, p.Error(), p.Advice)
				d.Detail += config.Suggest(p.Wrote, p.Known)
				if p.Secret {
					d.Extra = diag.LiteralSecret
				}
				diags = append(diags, d)
			}
		}
		s := checkedSink{config: c, build: func(d deps) (deliver.Sink, error) { return build(c, d) }}
		if w, ok := any(c).(interface{ Window() uint64 }); ok {
			s.resend = w.Window()
		}
		return s, diags
	}
}
