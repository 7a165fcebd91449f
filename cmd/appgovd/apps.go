package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
)

func appsCommand() *cobra.Command {
	c := &cobra.Command{Use: "apps", Short: "Ask the running daemon about apps"}
	c.AddCommand(appsListCommand(), appsShowCommand(), appsGrantsCommand(), appsUsageCommand(), appsSignInsCommand(), appsChangesCommand())
	return c
}

func appsListCommand() *cobra.Command {
	var at endpoint
	var q app.AppQuery
	var output string
	c := &cobra.Command{
		Use:   "list",
		Short: "List the apps that a filter passes",
		Long: "List apps, those with the highest risk first. The filter is an expression of type bool over the fields of apps, as the where of a policy is:\n\n" +
			"  appgovd apps list --where 'app.origin == \"external\" && app.tier == 0 && !app.publisher.verified'\n",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			v := url.Values{"where": {q.Where}, "sort": {q.Sort}, "limit": {strconv.Itoa(q.Limit)}, "own": {strconv.FormatBool(q.Own)}}
			var list app.AppList
			if err := askApps(c, &at, "/apps?"+v.Encode(), output, &list); err != nil || output == "json" {
				return err
			}
			return printApps(c.OutOrStdout(), list, q.Sort == "calls" || q.Sort == "response_bytes")
		},
	}
	at.flags(c)
	c.Flags().StringVar(&q.Where, "where", "", "condition on an app, in the language of policies")
	c.Flags().StringVar(&q.Sort, "sort", app.AppOrders()[0], "order: "+strings.Join(app.AppOrders(), ", "))
	c.Flags().BoolVar(&q.Own, "own", false, "in an order by use, the apps by which appgovd itself reads tenants, too")
	c.Flags().IntVar(&q.Limit, "limit", 50, "at most so many; 0 for all")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

// askApps gets an answer, which goes out as it is where JSON is asked for.
func askApps(c *cobra.Command, at *endpoint, path, output string, into any) error {
	body, err := at.get(c, path)
	if err != nil {
		return err
	}
	if output == "json" {
		_, err := c.OutOrStdout().Write(body)
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// printApps prints a line for each app, with its use on the last whole day if asked.
func printApps(out io.Writer, list app.AppList, use bool) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	more := func(a app.AppLine) string { return "" }
	head := "KEY\tNAME\tORIGIN\tPUBLISHER\tTIER\tTENANT-WIDE\tUSERS\tRISK\tLAST USED\tENABLED"
	if use {
		head += "\tCALLS\tRESPONSES"
		more = func(a app.AppLine) string { return "\t" + number(a.Calls) + "\t" + size(a.Bytes) }
	}
	t.row("%s", head)
	for _, a := range list.Apps {
		t.row("%s\t%q\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s%s", a.Key, brief(a.Name), cmp.Or(a.Origin, "-"), publisher(a), tier(a.Tier), yes(a.TenantWide), a.Users, a.Risk, lastUse(a), yes(a.Enabled), more(a))
	}
	if err := t.w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "\n%d of %d apps pass, %d shown\n", list.Matched, list.Total, len(list.Apps))
	return err
}

func publisher(a app.AppLine) string {
	switch {
	case a.Publisher == "":
		return "-"
	case a.Verified:
		return strconv.Quote(brief(a.Publisher)) + " (verified)"
	}
	return strconv.Quote(brief(a.Publisher))
}

func tier(n int8) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(int(n))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// lastUse tells "never" only where sign-ins are collected.
func lastUse(a app.AppLine) string {
	switch {
	case !a.LastUsed.IsZero():
		return when(a.LastUsed)
	case a.UseKnown:
		return "never"
	}
	return "unknown"
}

func appsShowCommand() *cobra.Command {
	return appCommand("show", "Show all that is known of an app", printApp)
}

func appsGrantsCommand() *cobra.Command {
	return appCommand("grants", "Show what an app was granted, by whom and for whom", printGrants)
}

func appCommand(use, short string, show func(io.Writer, app.AppDetail) error) *cobra.Command {
	var at endpoint
	var output string
	c := &cobra.Command{
		Use:   use + " APP",
		Short: short,
		Long:  short + ". APP is its client id, an object id of it, or its name where no other app has it.",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			var d app.AppDetail
			if err := askApps(c, &at, "/app?"+url.Values{"name": args}.Encode(), output, &d); err != nil || output == "json" {
				return err
			}
			return show(c.OutOrStdout(), d)
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

func printApp(out io.Writer, d app.AppDetail) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("name\t%q", d.Name)
	for _, x := range [][2]string{{"client id", d.AppID}, {"service principal", d.ID}, {"registration", d.ObjectID}, {"source", d.Source}, {"kind", d.Kind}} {
		t.row("%s\t%s", x[0], cmp.Or(x[1], "-"))
	}
	t.row("origin\t%s, owner tenant %s", cmp.Or(d.Origin, "unknown"), cmp.Or(d.OwnerTenant, "unknown"))
	t.row("publisher\t%s", publisher(d.AppLine))
	t.row("enabled\t%s", yes(d.Enabled))
	t.row("created\t%s, first seen %s", when(d.Created), when(d.FirstSeen))
	t.row("last used\t%s", lastUse(d.AppLine))
	t.row("last whole day\tcalls: %s, answers: %s", number(d.Calls), size(d.Bytes))
	t.row("worst tier\t%s, for all users: %s, users who consented: %d", tier(d.Tier), yes(d.TenantWide), d.Users)
	t.row("risk\t%d of 100", d.Risk)
	for _, f := range d.Factors {
		t.row("\t%s: %d points, %d alerts, last %s", f.Rule, f.Points, f.Count, when(f.Last))
	}
	t.row("owners\t%s", owners(d))
	t.lists(d)
	t.links(d.Links)
	return t.w.Flush()
}

// identity is what else tells a credential: a certificate's thumbprint, or whose tokens
// are trusted.
func identity(c app.AppCredential) (out string) {
	if c.Thumbprint != "" {
		out += ", thumbprint " + c.Thumbprint
	}
	if c.Issuer != "" {
		out += fmt.Sprintf(", issuer %q subject %q", c.Issuer, c.Subject)
	}
	return out
}

func (t table) lists(d app.AppDetail) {
	for _, u := range d.ReplyURLs {
		t.row("reply URL\t%q", u)
	}
	for _, c := range d.Credentials {
		t.row("credential\t%s %s %q, %s to %s%s", cmp.Or(c.Kind, "-"), cmp.Or(c.KeyID, "-"), c.Name, when(c.Start), when(c.End), identity(c))
	}
	for _, g := range d.Grants {
		t.row("grant\t%s", grant(g))
	}
	if m := d.Traits; m != nil {
		t.more(m)
	}
}

func (t table) more(m *app.AppTraits) {
	for _, x := range []struct {
		name string
		list []string
	}{{"directory role", m.Roles}, {"role that may be activated", m.EligibleRoles}, {"federated issuer", m.Issuers}, {"permission never used", m.Unused}, {"service called", m.Services}} {
		for _, s := range x.list {
			t.row("%s\t%q", x.name, s)
		}
	}
	if m.RiskLevel != "" || m.RiskState != "" {
		t.row("the provider's risk\t%q, %q", m.RiskLevel, m.RiskState)
	}
}

// owners are unknown, not none, while they are not read.
func owners(d app.AppDetail) string {
	switch {
	case len(d.Owners) > 0:
		return strings.Join(d.Owners, ", ")
	case d.OwnersKnown:
		return "none"
	}
	return "unknown"
}

func grant(g app.AppGrant) string {
	var names []string
	for _, p := range g.Permissions {
		s := strconv.Quote(p.Name)
		if p.Tier > 0 {
			s += fmt.Sprintf(" (tier %d)", p.Tier)
		}
		names = append(names, s)
	}
	whom := ""
	switch {
	case g.Principal != "":
		whom = " for user " + g.Principal
	case g.For != "":
		whom = " for all users"
	}
	return fmt.Sprintf("%s%s on %q: %s", g.Kind, whom, g.Resource, strings.Join(names, ", "))
}

func printGrants(out io.Writer, d app.AppDetail) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("KIND\tFOR\tAPI\tPERMISSION\tTIER\tGRANT")
	for _, g := range d.Grants {
		whom := cmp.Or(g.Principal, g.For, "-")
		for _, p := range g.Permissions {
			t.row("%s\t%s\t%q\t%q\t%s\t%s", g.Kind, whom, brief(g.Resource), p.Name, tier(p.Tier), g.ID)
		}
	}
	return t.w.Flush()
}
