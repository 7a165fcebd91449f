package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/detect"
	"github.com/appgovd/appgovd/internal/diag"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/hclsafe"
	"github.com/appgovd/appgovd/internal/rule"
)

func rulesCommand() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List, show, format, lint and take stock of rules"}
	c.AddCommand(rulesListCommand(), rulesShowCommand(), rulesFormatCommand(), rulesLintCommand(), rulesStatsCommand(), rulesSchemaCommand())
	return c
}

// rulesOf compiles the rules below paths, the shipped ones where there are none, by
// rule.Compile or rule.CompileProbed. Mistakes go to stderr.
func rulesOf(stderr io.Writer, paths []string, compile func(*event.RulesBlob) (*rule.Set, hcl.Diagnostics)) (*rule.Set, error) {
	blob, err := app.ShippedRules()
	if len(paths) > 0 {
		blob, err = app.ReadRules(paths, false)
	}
	if err != nil {
		return nil, misuse{err}
	}
	set, diags := compile(blob)
	if err := diag.Text(stderr, diags, texts(blob)); err != nil {
		return nil, err
	}
	if diags.HasErrors() {
		return nil, exitError{exitUsage}
	}
	return set, nil
}

func texts(blob *event.RulesBlob) map[string][]byte {
	files := map[string][]byte{}
	for _, f := range blob.Files {
		files[f.Path] = f.Text
	}
	return files
}

// listedRule is one line of `rules list`, and the head of `rules show`.
type listedRule struct {
	ID         string   `json:"id"`
	Kind       string   `json:"kind"` // rule or policy
	Mode       string   `json:"mode"`
	Severity   string   `json:"severity"`
	On         []string `json:"on,omitempty"`
	Techniques []string `json:"techniques,omitempty"`
	Title      string   `json:"title"`
	File       string   `json:"file"`
	Line       int      `json:"line"`
	Revision   string   `json:"revision"`
}

func listed(set *rule.Set) []listedRule {
	var out []listedRule
	add := func(l listedRule, mode rule.Mode, severity event.Severity) {
		at := set.Source(l.ID).Range
		l.Mode, l.Severity, l.File, l.Line = mode.String(), severity.String(), at.Filename, at.Start.Line
		out = append(out, l)
	}
	for _, r := range set.Rules {
		add(listedRule{ID: r.ID, Kind: "rule", On: r.On, Techniques: r.Techniques, Title: r.Title, Revision: r.Revision}, r.Mode, r.Severity)
	}
	for _, p := range set.Policies {
		add(listedRule{ID: p.ID, Kind: "policy", Techniques: p.Techniques, Title: p.Title, Revision: p.Revision}, p.Mode, p.Severity)
	}
	return out
}

func rulesListCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "list [DIR...]",
		Short: "List rules and policies; the shipped ones without DIR",
		RunE: func(c *cobra.Command, args []string) error {
			set, err := rulesOf(c.ErrOrStderr(), args, rule.CompileProbed)
			if err != nil {
				return err
			}
			return writeRules(c.OutOrStdout(), listed(set), output)
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func writeRules(w io.Writer, rules []listedRule, output string) error {
	switch output {
	case "json":
		return writeJSON(w, rules)
	case "text":
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "ID\tKIND\tMODE\tSEVERITY\tTITLE")
		for _, r := range rules {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.ID, r.Kind, r.Mode, r.Severity, r.Title)
		}
		return t.Flush()
	}
	return badOutput(output, "text")
}

func rulesShowCommand() *cobra.Command {
	var dirs []string
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Show the text of a rule or policy, and where it stands",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			set, err := rulesOf(c.ErrOrStderr(), dirs, rule.CompileProbed)
			if err != nil {
				return err
			}
			r, err := ruleNamed(set, args[0])
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "# %s:%d, revision %s\n%s\n", r.File, r.Line, r.Revision, set.Source(r.ID).Text)
			return err
		},
	}
	c.Flags().StringArrayVar(&dirs, "rules", nil, "directory or file of rules, may be repeated; the shipped rules where it is absent")
	return c
}

func ruleNamed(set *rule.Set, id string) (listedRule, error) {
	var ids []string
	for _, r := range listed(set) {
		if r.ID == id {
			return r, nil
		}
		ids = append(ids, r.ID)
	}
	return listedRule{}, misuse{fmt.Errorf("there is no rule %q.%s", id, config.Suggest(id, ids))}
}

func rulesFormatCommand() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "fmt FILE|DIR...",
		Short: "Write rule files in the usual form",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			files, err := hclFiles(args)
			if err != nil {
				return misuse{err}
			}
			changed := 0
			for _, name := range files {
				did, err := formatFile(c.ErrOrStderr(), name, check)
				if err != nil {
					return err
				}
				if did {
					changed++
					_, _ = fmt.Fprintln(c.OutOrStdout(), name)
				}
			}
			if check && changed > 0 {
				return exitError{exitFailed}
			}
			return nil
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing; name the files that would change, exit with 1 if there are any")
	return c
}

// hclFiles are the named files and all *.hcl files below the named directories.
func hclFiles(paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		err := filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Type().IsRegular() && (name == p || strings.HasSuffix(name, ".hcl")) {
				files = append(files, name)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("find rule files: %w", err)
		}
	}
	return files, nil
}

// formatFile reports whether the file is not, or was not, in the usual form. One
// that does not parse is left as it is.
func formatFile(stderr io.Writer, name string, check bool) (bool, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return false, fmt.Errorf("read rules: %w", err)
	}
	if _, diags := hclsafe.Parse(name, text); diags.HasErrors() {
		return false, errors.Join(diag.Text(stderr, diags, map[string][]byte{name: text}), exitError{exitUsage})
	}
	out := hclwrite.Format(text)
	if bytes.Equal(out, text) {
		return false, nil
	}
	if check {
		return true, nil
	}
	return true, replaceFile(name, out)
}

// replaceFile keeps the mode, and the old text until the new one is whole.
func replaceFile(name string, text []byte) error {
	info, err := os.Stat(name)
	if err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".fmt-*")
	if err != nil {
		return fmt.Errorf("write rules: %w", err)
	}
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(info.Mode().Perm()), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write rules: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

func rulesLintCommand() *cobra.Command {
	var output string
	c := &cobra.Command{
		Use:   "lint DIR...",
		Short: "Say what is wrong with rules, and what works and still is no good rule",
		Long: `Say what is wrong with rules, and what works and still is no good rule: no test
that fires or none that must not, no description, conditions that are the same
for every event, lists that nothing names, expired entries and exceptions, values that a
field never has, names that look mistyped.

Exit code 0: nothing to say; 1: warnings; 2: the rules do not compile.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			blob, err := app.ReadRules(args, true)
			if err != nil {
				return misuse{err}
			}
			diags := rule.Lint(blob, time.Now())
			return lintResult(diags, show(c.OutOrStdout(), output, diags, texts(blob)))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func lintResult(diags hcl.Diagnostics, err error) error {
	switch {
	case err != nil:
		return err
	case diags.HasErrors():
		return exitError{exitUsage}
	case len(diags) > 0:
		return exitError{exitFailed}
	}
	return nil
}

func rulesStatsCommand() *cobra.Command {
	var at endpoint
	var output string
	c := &cobra.Command{
		Use:   "stats [DIR...]",
		Short: "Say how rules are found, or with no DIR how those of the running daemon fare",
		Long: `With directories: by what each rule is found among those of its actions, and which
rules cannot be found so: those are evaluated for every event of their actions.

Without: how the rules of the running daemon fare: when their actions were last
seen, what they matched, what was held back, what they remember, and what is wrong
with them.`,
		RunE: func(c *cobra.Command, args []string) error {
			if output != "text" && output != "json" {
				return badOutput(output, "text")
			}
			if len(args) > 0 {
				set, err := rulesOf(c.ErrOrStderr(), args, rule.Compile)
				if err != nil {
					return err
				}
				return writePlacements(c.OutOrStdout(), set.Placements(), output)
			}
			body, err := at.get(c, "/rules")
			if err != nil || output == "json" {
				return errors.Join(err, writeAll(c.OutOrStdout(), body))
			}
			var all map[string]app.RulesStatus
			if err := json.Unmarshal(body, &all); err != nil {
				return fmt.Errorf("read the daemon's rules: %w", err)
			}
			return writeHealth(c.OutOrStdout(), all)
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func writeAll(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

func writePlacements(w io.Writer, all []rule.Placement, output string) error {
	if output == "json" {
		return writeJSON(w, all)
	}
	free := 0
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "RULE\tFOUND BY")
	for _, p := range all {
		by := p.Path
		if by == "" {
			by, free = "every event of its actions: "+p.Reason, free+1
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\n", p.ID, by)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d rules are evaluated for every event of their actions\n", free, len(all))
	return err
}

func writeHealth(w io.Writer, all map[string]app.RulesStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		s := all[key]
		_, _ = fmt.Fprintf(t, "SOURCE %s as of %s\n", key, s.Time.UTC().Format(time.RFC3339))
		_, _ = fmt.Fprintln(t, "RULE\tMODE\tSEEN\tMATCHES\tALERTS\tSUPPRESSED\tEXCEPTED\tKEYS\tEVICTED\tESTIMATED\tWARMING UP\tMEAN\tLAST MATCH\tSTATUS")
		for _, r := range s.Rules {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\n", r.ID, r.Mode, r.Seen, r.Matches, r.Alerts, r.Suppressed, r.Excepted,
				r.Keys, r.Evicted, r.Estimated, r.WarmingUp, r.Mean, when(r.LastMatch), statuses(r.Statuses))
		}
		for _, x := range s.Exceptions {
			_, _ = fmt.Fprintf(t, "EXCEPTION %s\thits %d\tuntil %s\n", x.ID, x.Hits, when(x.Until))
		}
	}
	return t.Flush()
}

func statuses(all []detect.Status) string {
	if len(all) == 0 {
		return "ok"
	}
	var out []string
	for _, s := range all {
		out = append(out, string(s))
	}
	return strings.Join(out, ",")
}

func rulesSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the language as JSON Schema, for editors and checkers",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			b, err := rule.Schema()
			if err != nil {
				return err
			}
			return writeAll(c.OutOrStdout(), append(b, '\n'))
		},
	}
}
