package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
)

func statusCommand() *cobra.Command {
	var socket, output string
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the state of a running daemon",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body, err := ask(c.Context(), socket, "/status")
			if err != nil {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "appgovd: %v\n", err)
				return exitError{exitFailed}
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
	c.Flags().StringVar(&socket, "socket", "/var/lib/appgovd/admin.sock", "admin socket of the daemon")
	c.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	return c
}

const maxAnswer = 256 << 20

// ask gets a path of the admin API.
func ask(ctx context.Context, socket, path string) ([]byte, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: 30 * time.Second}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://appgovd"+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask the daemon: %w (is it running, and may you use %s?)", err, socket)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("ask the daemon: %s: %q", res.Status, b)
	}
	return b, err
}

func printStatus(out io.Writer, s app.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
	p("SOURCE\tSTATE\tCOMPLETE THROUGH\tFETCHED\tNEW\tSEEN\tQUARANTINED\tGAP\tERROR")
	for _, x := range s.Sources {
		p("%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%q", x.Key, x.State, when(x.CompleteThrough), x.Account.Fetched, x.Account.New, x.Account.Seen, x.Account.Quarantined, x.Account.Gap, x.Error)
	}
	p("\nSINK\tWAITING\tACCEPTED\tDEAD LETTER\tROUTED ELSEWHERE\tLAST ACK")
	for name, r := range s.Ledger.Readers {
		p("%s\t%d\t%d\t%d\t%d\t%s", name, r.Waiting, r.Accepted, r.DeadLetter, r.Skipped, when(r.LastAck))
	}
	for name, c := range s.Apps {
		p("\ninventory %s: %d apps, %d grants, %d credentials", name, c.Apps, c.Grants, c.Credentials)
	}
	p("ledger: frame %d, %d alerts, %d of %d bytes in %d segments; %d rules", s.Ledger.LastLSN, s.Ledger.Alerts, s.Ledger.Bytes, s.Ledger.MaxBytes, s.Ledger.Segments, s.Rules)
	for _, h := range s.Health {
		p("alarm since %s: %s: %q", when(h.Since), h.Key, h.Text)
	}
	return w.Flush()
}

func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
