package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/rule"
)

type explainFlags struct {
	rules          []string
	output, tenant string
	zone           string
	event          string
	limit          int
}

func explainCommand() *cobra.Command {
	var f explainFlags
	c := &cobra.Command{
		Use:   "explain RULE FILE...",
		Short: "Say why a rule did or did not fire on exported records",
		Long: `Say why a rule did or did not fire on exported records: each part of its
condition with the value that it had (of a field that is unknown, the reason), what its windows,
keys and baselines held, and where the evaluation ended: at the
condition, at an exception, at what the rule remembers (first_seen, compare, threshold,
absence, sequence, with the steps that are missing), at a suppression, or with an alert. All records of the files are read first, in order of event time, so
that what the rule remembers is there. Files are those of "appgovd replay".

For a policy, each app of the inventory that it looked at is told.`,
		Args: cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return explain(c, args[0], args[1:], f) },
	}
	c.Flags().StringArrayVar(&f.rules, "rules", nil, "directory or file of rules, may be repeated; the shipped rules where it is absent")
	c.Flags().StringVarP(&f.output, "output", "o", "text", "text or json (one object per line)")
	c.Flags().StringVar(&f.event, "event", "", "only the event with this id, the provider's or appgovd's")
	c.Flags().IntVar(&f.limit, "limit", 20, "events at most; 0 = all")
	zoneFlag(c, &f.zone)
	c.Flags().StringVar(&f.tenant, "tenant", app.ReplayTenant, "tenant id of records that name none")
	return c
}

// explanation is how a rule was evaluated once.
type explanation struct {
	Rule    string    `json:"rule"`
	Time    time.Time `json:"time"`
	Action  string    `json:"action,omitempty"`
	EventID string    `json:"event_id,omitempty"`
	Record  string    `json:"upstream_id,omitempty"`
	App     string    `json:"app"`
	State   []string  `json:"state,omitempty"` // of the blocks that remember, each as "block: what it knew"
	Stage   string    `json:"stage"`           // where it ended, as detect.Watch says; of a policy: holds, holds_not, unknown
	Why     string    `json:"why,omitempty"`
	Parts   []part    `json:"parts"`
}

// part is one expression of the rule and its value.
type part struct {
	Attribute string `json:"attribute,omitempty"`
	Level     int    `json:"level"`
	Text      string `json:"text"`
	Type      string `json:"type"`
	Value     string `json:"value"`
}

func explain(c *cobra.Command, id string, files []string, f explainFlags) error {
	if f.output != "text" && f.output != "json" {
		return badOutput(f.output, "text")
	}
	set, err := rulesOf(c.ErrOrStderr(), f.rules, func(blob *event.RulesBlob) (*rule.Set, hcl.Diagnostics) {
		blob.Zone = f.zone
		return rule.CompileProbed(blob)
	})
	if err != nil {
		return err
	}
	if _, err := ruleNamed(set, id); err != nil {
		return err
	}
	x := &explainer{set: set, id: id, flags: f, out: c.OutOrStdout()}
	r := app.NewReplay(app.ReplayOptions{
		Rules: set, Tenant: strings.ToLower(f.tenant), Alert: func(*event.Alert) error { return x.err },
		Refuse: (&teller{w: c.ErrOrStderr()}).refused, Watch: detect.Watch{Look: x.look, State: x.state, Stop: x.stop},
	})
	for _, name := range files {
		if err := readFile(r, name, c.InOrStdin()); err != nil {
			return errors.Join(err, r.Close())
		}
	}
	if err := errors.Join(r.Run(c.Context()), r.Close(), x.err); err != nil {
		return err
	}
	return x.end(c.ErrOrStderr(), r.Summary())
}

type explainer struct {
	set    *rule.Set
	id     string
	flags  explainFlags
	out    io.Writer
	now    explanation
	shown  int
	looked int
	found  bool // an event with the id that was asked for
	err    error
}

// look takes the values down, since the environment is that of the moment.
func (x *explainer) look(id string, env *rule.Env) {
	if id != x.id {
		return
	}
	x.looked++
	x.now = explanation{Rule: id, Time: env.Now}
	if e := env.Event; e != nil {
		x.now.Action, x.now.EventID, x.now.Record, x.now.App = e.Action, e.ID.String(), e.UpstreamID, e.App.Name
	}
	if env.App != nil && env.App.Name != "" {
		x.now.App = env.App.Name
	}
	verdict, hasWhere := rule.True, false
	for _, p := range x.set.Probes(id) {
		if p.Const && p.Level > 0 {
			continue
		}
		if p.Of == "where" {
			verdict, hasWhere = mustTruth(p, env), true
		}
		x.now.Parts = append(x.now.Parts, part{Attribute: p.Of, Level: p.Level, Text: p.Text, Type: p.Type, Value: p.Value(env)})
	}
	x.exceptions(id, env)
	if env.Event == nil && hasWhere {
		x.stop(id, [...]string{"holds_not", "holds", "unknown"}[verdict], "")
	}
}

// exceptions takes down the conditions of the exceptions that cover a rule.
func (x *explainer) exceptions(id string, env *rule.Env) {
	for _, e := range x.set.Exceptions {
		if !slices.Contains(e.Rules, id) {
			continue
		}
		of := "exception " + e.ID
		if e.Expired(env.Now) {
			of += " (ended)"
		}
		for _, p := range x.set.ExceptionProbes(e.ID) {
			if p.Const && p.Level > 0 {
				continue
			}
			v := part{Level: p.Level, Text: p.Text, Type: p.Type, Value: p.Value(env)}
			if p.Level == 0 {
				v.Attribute = of
			}
			x.now.Parts = append(x.now.Parts, v)
		}
	}
}

func mustTruth(p rule.Probe, env *rule.Env) rule.Truth {
	t, _ := p.Truth(env)
	return t
}

func (x *explainer) state(id, block, state string) {
	if id == x.id {
		x.now.State = append(x.now.State, block+": "+state)
	}
}

func (x *explainer) stop(id, stage, why string) {
	if id != x.id || x.err != nil {
		return
	}
	x.now.Stage, x.now.Why = stage, why
	wanted := x.flags.event == "" || x.flags.event == x.now.EventID || x.flags.event == x.now.Record
	x.found = x.found || wanted
	if !wanted || x.flags.limit > 0 && x.shown >= x.flags.limit {
		return
	}
	x.shown++
	if x.flags.output == "json" {
		x.err = json.NewEncoder(x.out).Encode(x.now)
		return
	}
	_, x.err = io.WriteString(x.out, x.now.text())
}

func (e *explanation) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s app %q", e.Time.UTC().Format(time.RFC3339), e.Action, e.App)
	if e.Record != "" {
		fmt.Fprintf(&b, " record %q", e.Record)
	}
	b.WriteByte('\n')
	for _, p := range e.Parts {
		name := ""
		if p.Attribute != "" {
			name = p.Attribute + " = "
		}
		fmt.Fprintf(&b, "  %s%s%s  ->  %s\n", strings.Repeat("  ", p.Level), name, p.Text, p.Value)
	}
	for _, s := range e.State {
		fmt.Fprintf(&b, "  %s\n", s)
	}
	fmt.Fprintf(&b, "  ended at %s", e.Stage)
	if e.Why != "" {
		fmt.Fprintf(&b, ": %s", e.Why)
	}
	b.WriteString("\n\n")
	return b.String()
}

// end says what was not shown: silence has reasons too.
func (x *explainer) end(stderr io.Writer, s app.ReplaySummary) error {
	text := fmt.Sprintf("%d records read, %d events, %s was evaluated %d times, %d shown\n", s.Read, s.Unique, x.id, x.looked, x.shown)
	if x.flags.event != "" && x.looked > 0 && !x.found {
		text += fmt.Sprintf("None of the events that it was evaluated on is %q: give the id of a record, or an event_id.\n", x.flags.event)
	}
	if x.looked == 0 {
		i := slices.IndexFunc(x.set.Rules, func(r *rule.Rule) bool { return r.ID == x.id })
		switch {
		case i < 0:
			text += "The policy looked at no app: there is no app in these files.\n"
		case x.set.Rules[i].Mode == rule.ModeOff:
			text += "The rule is off.\n"
		default:
			text += fmt.Sprintf("No event has an action of the rule: %s.\n", strings.Join(x.set.Rules[i].On, ", "))
		}
	}
	_, err := io.WriteString(stderr, text)
	return err
}
