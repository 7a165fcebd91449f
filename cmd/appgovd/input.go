package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/ledger"
)

func (l *letters) inputFlags(c *cobra.Command) {
	c.Flags().BoolVar(&l.input, "input", false, "records that could not be decoded, not alerts")
	c.Flags().StringVar(&l.source, "source", "", "records of this source only, such as entra/contoso/directory_audits; with --input")
}

// ofInput reports whether a command is about records that could not be decoded: by
// --input, or by ids of theirs.
func (l *letters) ofInput(ids []string) (bool, error) {
	records := 0
	for _, id := range ids {
		if strings.Contains(id, ".") {
			records++
		}
	}
	switch {
	case l.source != "" && !l.input:
		return false, misuse{errors.New("--source goes with --input")}
	case l.input && l.sink != "":
		return false, misuse{errors.New("a record has a source and no sink: give --source in place of --sink")}
	case records > 0 && records < len(ids), l.input && records < len(ids):
		return false, misuse{errors.New("give ids of letters, or of records (FRAME.NUMBER), not both")}
	}
	return l.input || records > 0, nil
}

// undecoded reads the records that could not be decoded, oldest first.
func (l *letters) undecoded(c *cobra.Command, fn func(app.Undecoded) error) error {
	keep := func(u app.Undecoded) error {
		if l.source != "" && l.source != u.Source {
			return nil
		}
		return fn(u)
	}
	switch {
	case l.store.dir != "":
		return l.store.view(func(v *ledger.View) error { return app.EachUndecoded(v.Packed, keep) })
	case l.store.overflow != "":
		return misuse{errors.New("--overflow-dir goes with --state-dir")}
	}
	body, err := l.at.get(c, "/input")
	if err != nil {
		return err
	}
	return eachLine(body, keep)
}

// eachLine decodes JSON, a value a line.
func eachLine[T any](body []byte, fn func(T) error) error {
	for dec := json.NewDecoder(bytes.NewReader(body)); ; {
		var v T
		err := dec.Decode(&v)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		}
		if err := fn(v); err != nil {
			return err
		}
	}
}

func (l *letters) listInput(c *cobra.Command, output string) error {
	if output == "json" {
		enc := json.NewEncoder(c.OutOrStdout())
		return l.undecoded(c, func(u app.Undecoded) error { return enc.Encode(u) })
	}
	t := table{tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)}
	t.row("ID\tREAD\tSOURCE\tREASON\tBYTES\tDETAIL")
	err := l.undecoded(c, func(q app.Undecoded) error {
		t.row("%s\t%s\t%s\t%s\t%d\t%q", q.ID, when(q.Read), q.Source, q.Reason, len(q.Raw), brief(q.Detail))
		return nil
	})
	return errors.Join(err, t.w.Flush())
}

func (l *letters) showInput(c *cobra.Command, id string, raw bool) error {
	var found *app.Undecoded
	waiting := 0
	err := l.undecoded(c, func(u app.Undecoded) error {
		if waiting++; u.ID == id {
			found = &u
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case found == nil:
		return fmt.Errorf("no record %s: %d that could not be decoded wait in the ledger", id, waiting)
	case raw:
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s\n", found.Raw)
		return err
	}
	return writeJSON(c.OutOrStdout(), struct {
		app.Undecoded
		Raw string
	}{*found, string(found.Raw)})
}

// settleInput lets the daemon settle records, and prints what became of each.
func (l *letters) settleInput(c *cobra.Command, ids []string, verb string, form url.Values) error {
	for _, id := range ids {
		form.Add("id", id)
	}
	if l.source != "" {
		form.Set("source", l.source)
	}
	body, err := l.at.call(c, http.MethodPost, "/input/"+verb+"?"+form.Encode())
	if err != nil {
		return err
	}
	all, stay := 0, 0
	err = eachLine(body, func(s app.InputSettlement) error {
		if all++; s.Outcome == app.Refused {
			stay++
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), "%s  %s  %s  %q\n", s.ID, s.Source, s.Outcome, brief(s.Reason))
		return err
	})
	if err == nil && stay > 0 {
		err = fmt.Errorf("%d of %d records stay", stay, all)
	}
	return err
}
