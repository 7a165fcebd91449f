package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/signal"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/spf13/cobra"

	"github.com/appgovd/appgovd/internal/app"
	"github.com/appgovd/appgovd/internal/format"
)

func tailCommand() *cobra.Command {
	var at endpoint
	f := follower{at: &at}
	c := &cobra.Command{
		Use:   "tail",
		Short: "Show alerts of the running daemon as they come",
		Long: `Show alerts of the running daemon as they come, whatever the routes say: those that pass --where, a condition in the language of
rules over the fields of alerts (docs/reference/fields.md). With --since those of the ledger's history come first. It goes on over
a reload or a restart of the daemon where it was; alerts that the ledger no longer holds are passed over. Ctrl-C ends it.`,
		Example: `  appgovd tail --where 'alert.severity == "critical" && app.tier <= 2'
  appgovd tail --since 24h -n 10 -o json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if f.output != "table" && f.output != "json" {
				return badOutput(f.output, "table")
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			c.SetContext(ctx)
			return f.follow(c)
		},
	}
	at.flags(c)
	c.Flags().StringVar(&f.where, "where", "", "condition on alerts, in the language of rules")
	c.Flags().DurationVar(&f.since, "since", 0, "show alerts of the history so far back first, such as 24h")
	c.Flags().IntVarP(&f.count, "count", "n", 0, "end behind so many alerts; 0 = go on")
	c.Flags().StringVarP(&f.output, "output", "o", "table", "table or json (a line per alert)")
	return c
}

// follower shows alerts and knows where it is.
type follower struct {
	at            *endpoint
	where, output string
	since         time.Duration
	count, shown  int
	last          *app.TailLine
}

// errShown ends a stream: there were as many as were asked for.
var errShown = errors.New("enough")

// follow goes on over daemons that end, from one to the next. The first must be there.
func (f *follower) follow(c *cobra.Command) error {
	bo := backoff.NewExponentialBackOff()
	bo.InitialInterval, bo.MaxInterval = 100*time.Millisecond, 5*time.Second
	answered, waiting := false, false
	for {
		err := f.at.stream(c, "/tail?"+f.query().Encode(), func(r io.Reader) error {
			bo.Reset()
			answered, waiting = true, false
			return f.show(c.OutOrStdout(), r)
		})
		var refused misuse
		switch {
		case errors.Is(err, errShown) || c.Context().Err() != nil:
			return nil
		case errors.As(err, &refused) || !answered:
			return err
		case !waiting:
			waiting = true
			_, _ = fmt.Fprintln(c.ErrOrStderr(), "appgovd: the daemon has ended or reloads; waiting for it")
		}
		select {
		case <-c.Context().Done():
			return nil
		case <-time.After(bo.NextBackOff()):
		}
	}
}

func (f *follower) query() url.Values {
	v := url.Values{"where": {f.where}}
	if f.last != nil {
		v.Set("after", fmt.Sprintf("%d.%d", f.last.LSN, f.last.Index))
	} else if f.since > 0 {
		v.Set("since", f.since.String())
	}
	return v
}

// maxTailLine bounds one alert of a daemon.
const maxTailLine = 16 << 20

func (f *follower) show(out io.Writer, r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxTailLine)
	for lines.Scan() {
		var l app.TailLine
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("read alert: %w", err)
		}
		f.last = &l
		if l.Alert == nil {
			continue
		}
		if err := f.print(out, l); err != nil {
			return err
		}
		if f.shown++; f.shown == f.count {
			return errShown
		}
	}
	return lines.Err()
}

func (f *follower) print(out io.Writer, l app.TailLine) error {
	if f.output == "json" {
		_, err := fmt.Fprintf(out, "%s\n", l.Alert)
		return err
	}
	a, err := format.ParseJSON(l.Alert)
	if err != nil {
		return err
	}
	about := ""
	if name := cmp.Or(a.App.Name, a.App.AppID, a.App.ID); name != "" {
		about = fmt.Sprintf("  app %q", name)
	}
	_, err = fmt.Fprintf(out, "%s  %-13s %-8s %s  %q%s\n", when(a.Time), a.Severity, a.State, oneLine(a.RuleID), a.Title, about)
	return err
}

// stream is get for an answer that does not end by itself.
func (e *endpoint) stream(c *cobra.Command, path string, read func(io.Reader) error) error {
	return e.first(c, func(socket string) error { return follow(c.Context(), socket, path, read) })
}

func follow(ctx context.Context, socket, path string, read func(io.Reader) error) error {
	res, err := request(ctx, socket, http.MethodGet, path, nil, 0)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if err := refused(res); err != nil {
		return err
	}
	return read(res.Body)
}
