package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/config"
)

// unknown stands in a table for what is null in JSON: it is not zero.
const unknown = "unknown"

func appsUsageCommand() *cobra.Command {
	return dailyCommand("usage", "Show what an app called: calls, errors, users and bytes by day, workload and endpoint", "/app/usage", printUsage)
}

func appsSignInsCommand() *cobra.Command {
	return dailyCommand("signins", "Show how an app signed in: by day, kind, result, resource and country", "/app/signins", printSignIns)
}

// dailyCommand asks for what is known of an app by day.
func dailyCommand[T any](use, short, path string, show func(io.Writer, T) error) *cobra.Command {
	var at endpoint
	var output string
	var days int
	var own bool
	c := &cobra.Command{
		Use:   use + " APP",
		Short: short,
		Long:  short + ". Days are in UTC; 30 days are kept. What is unknown is not zero. APP is its client id, an object id of it, or its name where no other app has it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			v := url.Values{"name": args, "days": {strconv.Itoa(days)}, "own": {strconv.FormatBool(own)}}
			var got T
			if err := askApps(c, &at, path+"?"+v.Encode(), output, &got); err != nil || output == "json" {
				return err
			}
			return show(c.OutOrStdout(), got)
		},
	}
	at.flags(c)
	c.Flags().IntVar(&days, "days", 7, "how many days, with today")
	c.Flags().BoolVar(&own, "own", false, "tell of the app by which appgovd itself reads the tenant, too")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func number(n *int64) string {
	if n == nil {
		return unknown
	}
	return strconv.FormatInt(*n, 10)
}

// size is a number of bytes as a person reads it.
func size(n *int64) string {
	if n == nil {
		return unknown
	}
	v, unit := float64(*n), 0
	for v >= 1000 && unit < 5 {
		v, unit = v/1000, unit+1
	}
	if unit == 0 {
		return strconv.FormatInt(*n, 10) + " B"
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[unit-1])
}

func printUsage(out io.Writer, u app.AppUsage) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("%q, %s, of %s", u.Name, u.Key, u.Source)
	t.row("")
	t.row("DAY\tKNOWN\tCALLS\tERRORS\tUSERS\tRESPONSES\tOF CALLS\tBY")
	for _, d := range u.Days {
		users := number(d.Users)
		if d.Estimated {
			users = "about " + users
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s", d.Day, d.Known, number(d.Calls), number(d.Errors), users, size(d.Bytes), number(d.Sized), cmp.Or(d.By, "-"))
	}
	t.row("")
	t.endpoints(u)
	t.row("COMPARED\tCALLS\tERRORS\tUSERS\tRESPONSES\tSIGN-INS\tFAILED")
	for _, x := range []struct {
		name string
		f    app.UseFigures
	}{{"today so far", u.Today}, {"last whole day", u.LastDay}, {"mean of a day before", u.Mean}} {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%s", x.name, number(x.f.Calls), number(x.f.Errors), number(x.f.Users), size(x.f.Bytes), number(x.f.SignIns), number(x.f.Failures))
	}
	t.row("")
	t.reach(u.Sources)
	if len(u.Sources) == 0 {
		t.row("no source tells of single calls")
	}
	t.links(u.Links)
	return t.w.Flush()
}

// reach tells how far sources tell.
func (t table) reach(list []app.CallSource) {
	for _, s := range list {
		if s.From.IsZero() {
			t.row("source %s: not read", s.Source)
			continue
		}
		t.row("source %s: from %s, complete through %s, %d gaps", s.Source, when(s.From), when(s.Through), len(s.Gaps))
	}
}

// endpoints sums up the days.
func (t table) endpoints(u app.AppUsage) {
	sums := map[string]*app.EndpointLine{}
	for _, d := range u.Days {
		for _, e := range d.Endpoints {
			name := "(rest)"
			if e.Endpoint != nil {
				name = *e.Endpoint
			}
			sum := sums[e.Workload+" "+name]
			if sum == nil {
				sum = &app.EndpointLine{Workload: e.Workload, Endpoint: &name, Bytes: new(int64)}
				sums[e.Workload+" "+name] = sum
			}
			sum.Calls, sum.Errors, sum.Sized = sum.Calls+e.Calls, sum.Errors+e.Errors, sum.Sized+e.Sized
			if e.Bytes != nil {
				*sum.Bytes += *e.Bytes
			}
		}
	}
	if len(sums) == 0 {
		return
	}
	list := slices.SortedFunc(maps.Values(sums), func(a, b *app.EndpointLine) int {
		return cmp.Or(cmp.Compare(b.Calls, a.Calls), strings.Compare(a.Workload, b.Workload), strings.Compare(*a.Endpoint, *b.Endpoint))
	})
	t.row("WORKLOAD\tENDPOINT\tCALLS\tERRORS\tRESPONSES\tOF CALLS")
	for _, e := range list {
		if e.Sized == 0 {
			e.Bytes = nil
		}
		t.row("%s\t%s\t%d\t%d\t%s\t%d", e.Workload, *e.Endpoint, e.Calls, e.Errors, size(e.Bytes), e.Sized)
	}
	t.row("")
}

func (t table) links(links map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(links)) {
		t.row("link\t%q %s", name, links[name])
	}
}

func printSignIns(out io.Writer, s app.AppSignIns) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("%q, %s, of %s", s.Name, s.Key, s.Source)
	t.row("")
	t.row("DAY\tKNOWN\tSIGN-INS\tFAILED\tKINDS")
	for _, d := range s.Days {
		var kinds []string
		for _, k := range d.Kinds {
			kinds = append(kinds, fmt.Sprintf("%s %s: %d", cmp.Or(k.Kind, "other"), cmp.Or(k.Result, "without a result"), k.Count))
		}
		t.row("%s\t%s\t%s\t%s\t%s", d.Day, d.Known, number(d.Count), number(d.Failures), strings.Join(kinds, ", "))
	}
	t.row("")
	t.places("RESOURCE", s.Days, func(d app.SignInDay) []app.Place { return d.Resources })
	t.places("COUNTRY", s.Days, func(d app.SignInDay) []app.Place { return d.Countries })
	t.reach(s.Sources)
	return t.w.Flush()
}

// places sums up the days.
func (t table) places(title string, days []app.SignInDay, of func(app.SignInDay) []app.Place) {
	sums := map[string]*app.Place{}
	for _, d := range days {
		for _, p := range of(d) {
			name := "(rest)"
			switch {
			case p.Name == nil:
			case *p.Name == "":
				name = unknown
			default:
				name = strconv.Quote(brief(*p.Name))
			}
			if sums[name] == nil {
				sums[name] = &app.Place{Name: &name}
			}
			sums[name].Count, sums[name].Failures = sums[name].Count+p.Count, sums[name].Failures+p.Failures
		}
	}
	if len(sums) == 0 {
		return
	}
	t.row("%s\tSIGN-INS\tFAILED", title)
	for _, p := range slices.SortedFunc(maps.Values(sums), func(a, b *app.Place) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(*a.Name, *b.Name))
	}) {
		t.row("%s\t%d\t%d", *p.Name, p.Count, p.Failures)
	}
	t.row("")
}

func appsChangesCommand() *cobra.Command {
	var at endpoint
	var output, where, since string
	var limit int
	c := &cobra.Command{
		Use:   "changes APP",
		Short: "Show what changed of an app, the newest first",
		Long: "Show what the history in the ledger tells of changes of an app: records of the audit log, and differences that the inventory saw. " +
			"The filter is an expression of type bool over the fields of events, as the where of a rule is:\n\n" +
			"  appgovd apps changes 'Wiki Viewer' --since 7d --where 'class == \"audit\" && actor.type == \"user\"'\n",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			d, err := config.ParseDuration(since)
			if err != nil {
				return misuse{fmt.Errorf("--since: %w", err)}
			}
			v := url.Values{"name": args, "where": {where}, "since": {d.String()}, "limit": {strconv.Itoa(limit)}}
			var got app.AppChanges
			if err := askApps(c, &at, "/app/changes?"+v.Encode(), output, &got); err != nil || output == "json" {
				return err
			}
			return printChanges(c.OutOrStdout(), got)
		},
	}
	at.flags(c)
	c.Flags().StringVar(&where, "where", "", "condition on an event, in the language of rules")
	c.Flags().StringVar(&since, "since", "30d", "how far back")
	c.Flags().IntVar(&limit, "limit", 50, "at most so many, the newest")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func printChanges(out io.Writer, x app.AppChanges) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("%q, %s, of %s", x.Name, x.Key, x.Source)
	t.row("")
	t.row("TIME\tACTION\tRESULT\tBY\tFROM\tWHAT")
	for _, c := range x.Changes {
		by := "-"
		if c.Actor != "" {
			by = strconv.Quote(brief(c.Actor))
		}
		t.row("%s\t%s\t%s\t%s\t%s\t%s", c.Time.UTC().Format(time.RFC3339), c.Action, cmp.Or(c.Result, "-"), by, cmp.Or(c.IP, "-"), what(c))
	}
	t.row("")
	t.row("%d changes since %s, %d shown; the ledger holds what was read since %s", x.Matched, when(x.Since), len(x.Changes), when(x.Held))
	t.links(x.Links)
	return t.w.Flush()
}

// what is the substance of a change in a line.
func what(c app.AppChange) string {
	var parts []string
	for _, p := range c.Permissions {
		parts = append(parts, strconv.Quote(p))
	}
	if c.Credential != "" {
		parts = append(parts, "credential "+strconv.Quote(c.Credential))
	}
	for _, m := range c.Changes {
		parts = append(parts, fmt.Sprintf("%s: %s -> %s", strconv.Quote(m.Name), inShort(m.Old), inShort(m.New)))
	}
	if len(parts) == 0 {
		return cmp.Or(strconv.Quote(brief(c.Activity)), "-")
	}
	const most = 4
	if n := len(parts); n > most {
		parts = append(parts[:most], fmt.Sprintf("and %d more", n-most))
	}
	return strings.Join(parts, ", ")
}

func inShort(values []string) string {
	if len(values) == 0 {
		return "none"
	}
	return strconv.Quote(brief(strings.Join(values, " ")))
}
