package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/diag"
)

func statusCommand() *cobra.Command {
	var at endpoint
	var output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running daemon",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return badOutput(output, "table")
			}
			body, err := at.get(c, "/status")
			if err != nil {
				return err
			}
			if output == "json" {
				_, err := c.OutOrStdout().Write(body)
				return err
			}
			var s app.Status
			if err := json.Unmarshal(body, &s); err != nil {
				return fmt.Errorf("read status: %w", err)
			}
			return printStatus(c.OutOrStdout(), s)
		},
	}
	at.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

// endpoint is how a command finds the admin socket of the running daemon.
type endpoint struct{ socket, config string }

func (e *endpoint) flags(c *cobra.Command) {
	c.Flags().StringVar(&e.socket, "socket", "", "admin socket of the daemon; without it "+strings.Join(usualSockets(), ", then "))
	c.Flags().StringVar(&e.config, "config", "", "configuration of the daemon, which names its socket")
	c.MarkFlagsMutuallyExclusive("socket", "config")
}

// usualSockets are where systemd, and where the daemon itself puts it.
func usualSockets() []string {
	return []string{"/run/appgovd/admin.sock", "/var/lib/appgovd/admin.sock"}
}

func (e *endpoint) candidates(stderr io.Writer) ([]string, error) {
	switch {
	case e.socket != "":
		return []string{e.socket}, nil
	case e.config == "":
		return usualSockets(), nil
	}
	p, diags := app.Check(e.config)
	if p.Config == nil || diags.HasErrors() {
		return nil, errors.Join(diag.Text(stderr, diags, p.Files), exitError{exitUsage})
	}
	return []string{p.AdminSocket(), usualSockets()[0]}, nil
}

// get asks the first daemon that answers.
func (e *endpoint) get(c *cobra.Command, path string) ([]byte, error) {
	return e.call(c, http.MethodGet, path)
}

func (e *endpoint) call(c *cobra.Command, method, path string) ([]byte, error) {
	return e.send(c, method, path, nil)
}

// send is call with a body.
func (e *endpoint) send(c *cobra.Command, method, path string, body []byte) ([]byte, error) {
	var answer []byte
	err := e.first(c, func(socket string) (err error) {
		answer, err = ask(c.Context(), socket, method, path, body)
		return err
	})
	return answer, err
}

// first asks the first daemon that there is.
func (e *endpoint) first(c *cobra.Command, ask func(socket string) error) error {
	sockets, err := e.candidates(c.ErrOrStderr())
	if err != nil {
		return err
	}
	var tried []string
	for _, s := range sockets {
		err := ask(s)
		var no *net.OpError
		if errors.As(err, &no) && no.Op == "dial" {
			tried = append(tried, fmt.Sprintf("%s: %v", s, no.Err))
			continue
		}
		return err
	}
	return fmt.Errorf("ask the daemon: tried %s; is it running, and may you use its socket?", strings.Join(tried, "; "))
}

const (
	maxAnswer = 256 << 20
	patience  = 30 * time.Second // for a whole answer
)

// ask calls a path of the admin API.
func ask(ctx context.Context, socket, method, path string, body []byte) ([]byte, error) {
	res, err := request(ctx, socket, method, path, body, patience)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if err := refused(res); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask the daemon: %w", err)
	case len(b) > maxAnswer:
		return nil, fmt.Errorf("ask the daemon: an answer of more than %d bytes", maxAnswer)
	}
	return b, nil
}

// request sends one request; who calls closes the body of the answer. The answer is to be
// whole within patience; 0 is without end.
func request(ctx context.Context, socket, method, path string, body []byte, patience time.Duration) (*http.Response, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: patience}
	r, err := http.NewRequestWithContext(ctx, method, "http://appgovd"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w", err)
	}
	return res, nil
}

// refused is why the daemon does not answer the question.
func refused(res *http.Response) error {
	if res.StatusCode == http.StatusOK {
		return nil
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxRefusal))
	switch {
	case err != nil:
		return fmt.Errorf("ask the daemon: %w", err)
	case res.StatusCode == http.StatusBadRequest: // a mistake of the question, which may have several lines
		return misuse{errors.New(strings.TrimSpace(string(b)))}
	}
	return fmt.Errorf("ask the daemon: %s: %s", res.Status, oneLine(strings.TrimSpace(string(b))))
}

const maxRefusal = 1 << 20

// table prints rows in columns. Text that others wrote is quoted by the caller.
type table struct{ w *tabwriter.Writer }

func (t table) row(format string, args ...any) { _, _ = fmt.Fprintf(t.w, format+"\n", args...) }

func printStatus(out io.Writer, s app.Status) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	t.row("appgovd %s, since %s, %d rules\n", s.Version, when(s.Started), s.Rules)
	t.sources(s)
	t.sinks(s)
	for _, name := range slices.Sorted(maps.Keys(s.Apps)) {
		c := s.Apps[name]
		t.row("inventory %s: %d apps, %d grants, %d credentials", name, c.Apps, c.Grants, c.Credentials)
	}
	t.risks(s)
	t.ledger(s)
	for _, h := range s.Health {
		t.row("alarm %s since %s (%s): %q", h.Key, when(h.Since), h.Severity, h.Text)
	}
	return t.w.Flush()
}

func (t table) sources(s app.Status) {
	t.row("SOURCE\tSTATE\tSINCE\tLAST READ\tCOMPLETE THROUGH\tBEHIND\tFETCHED\tNEW\tSEEN\tQUARANTINED\tGAP")
	for _, x := range s.Sources {
		t.row("%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d", x.Key, x.Condition, when(x.Since), when(x.LastRead), when(x.CompleteThrough), cmp.Or(x.Behind, "-"), x.Account.Fetched, x.Account.New, x.Account.Seen, x.Account.Quarantined, x.Account.Gap)
	}
	for _, x := range s.Sources {
		if x.Condition == app.ConditionStalled && x.Error == "" {
			t.row("source %s: %s", x.Key, x.Reason)
		}
		t.trouble("source "+x.Key, x.Error, x.Hint)
	}
	off := map[string][]string{}
	for _, x := range s.Disabled {
		i := strings.LastIndexByte(x.Key, '/')
		off[x.Key[:i]] = append(off[x.Key[:i]], x.Key[i+1:])
	}
	for _, block := range slices.Sorted(maps.Keys(off)) {
		t.row("disabled, since collect of %s does not name them: %s", block, strings.Join(off[block], ", "))
	}
	for _, b := range s.Budgets {
		t.row("budget %s/%s: %.0f %% needed by polls and sweeps", b.Source, b.Family, 100*b.Load)
	}
	t.row("")
}

func (t table) sinks(s app.Status) {
	t.row("SINK\tSTATE\tSINCE\tWAITING\tACCEPTED\tDEAD LETTER\tROUTED ELSEWHERE\tGROUPED\tLAST ACK")
	for _, x := range s.Sinks {
		waiting := fmt.Sprint(x.Waiting)
		if x.Frames > 0 { // of events it is not known how many they are
			waiting = fmt.Sprintf("%d frames", x.Frames)
		}
		t.row("%s\t%s\t%s\t%s\t%d\t%d\t%d\t%d\t%s", x.Sink, x.State, when(x.Since), waiting, x.Accepted, x.DeadLetter, x.Skipped, x.Grouped, when(x.LastAck))
	}
	for _, x := range s.Sinks {
		t.trouble("sink "+x.Sink, x.Error, x.Hint)
	}
	for _, x := range s.Sinks {
		if g := x.Routing; g != nil {
			t.row("groups of %s: %d open with %d alerts, next notice %s; %d silenced, %d inhibited, %d groups muted; notices stood for %d alerts so far; since the start %d notices delivered, %d in the dead letter", x.Sink, g.Groups, g.Alerts, when(g.Next), g.Silenced, g.Inhibited, g.Muted, g.Account.Notified, x.Notices.Delivered, x.Notices.DeadLetter)
		}
	}
	t.row("")
}

// risks are the apps and actors with the highest risk, and what made it.
func (t table) risks(s app.Status) {
	for _, name := range slices.Sorted(maps.Keys(s.Risks)) {
		for _, x := range s.Risks[name] {
			alert := ""
			if x.Alert {
				alert = ", alert open"
			}
			var rules []string
			for _, f := range x.Factors[:min(len(x.Factors), 3)] {
				rules = append(rules, fmt.Sprintf("%s (%d)", f.Rule, f.Points))
			}
			t.row("risk %s: %s %q %d of 100%s: %s", name, x.Entity, cmp.Or(x.Name, x.Key), x.Risk, alert, strings.Join(rules, ", "))
		}
	}
}

func (t table) trouble(who, err, hint string) {
	if err != "" {
		t.row("%s: error: %q", who, err)
	}
	if hint != "" {
		t.row("%s: hint: %q", who, hint)
	}
}

func (t table) ledger(s app.Status) {
	l := s.Ledger
	t.row("ledger: frame %d, %d alerts, %d of %d bytes in %d segments", l.LastLSN, l.Alerts, l.Bytes, l.MaxBytes, l.Segments)
	if l.DiskFull {
		t.row("ledger: the disk is full")
	}
	t.trouble("ledger", l.Error, "")
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
