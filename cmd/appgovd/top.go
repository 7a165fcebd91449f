package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/appgovd/appgovd/internal/app"
)

func topCommand() *cobra.Command {
	var at endpoint
	var every time.Duration
	var count int
	c := &cobra.Command{
		Use:   "top",
		Short: "Watch the running daemon: sources, lag, sinks, rules and their rates",
		Long: `Watch the running daemon, drawn anew every --interval: the state of each source, how far it lies behind and what it reads a second;
of each sink what waits and what it takes a second; the rules that matched most since the last picture, and the slowest; the ledger;
open alarms. Without a terminal the pictures come one behind the other. Ctrl-C ends it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return misuse{fmt.Errorf("--interval is at least 100ms, not %s", every)}
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			c.SetContext(ctx)
			return watch(c, &at, screenOf(c.OutOrStdout()), every, count)
		},
	}
	at.flags(c)
	c.Flags().DurationVar(&every, "interval", 2*time.Second, "time between two pictures")
	c.Flags().IntVarP(&count, "count", "n", 0, "end behind so many pictures; 0 = go on")
	return c
}

// watch draws pictures until it is told to stop. A daemon that ends meanwhile is waited
// for; the first must be there.
func watch(c *cobra.Command, at *endpoint, s *screen, every time.Duration, count int) error {
	last, err := look(c, at)
	if err != nil {
		return err
	}
	s.open()
	defer s.close()
	next := time.NewTicker(every)
	defer next.Stop()
	for n := 1; ; n++ {
		select {
		case <-c.Context().Done():
			return nil
		case <-next.C:
		}
		now, err := look(c, at)
		if c.Context().Err() != nil {
			return nil
		}
		var b bytes.Buffer
		if err != nil {
			_, _ = fmt.Fprintln(&b, oneLine(err.Error()))
		} else if err := draw(&b, last, now); err != nil {
			return err
		}
		if err := s.show(b.Bytes()); err != nil {
			return err
		}
		if err == nil {
			last = now
		}
		if n == count {
			return nil
		}
	}
}

// picture is what the daemon said at one moment.
type picture struct {
	status app.Status
	rules  map[string]app.RulesStatus
}

func look(c *cobra.Command, at *endpoint) (p picture, err error) {
	body, err := at.get(c, "/status")
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(body, &p.status); err != nil {
		return p, fmt.Errorf("read status: %w", err)
	}
	if body, err = at.get(c, "/rules"); err != nil {
		return p, err
	}
	if err := json.Unmarshal(body, &p.rules); err != nil {
		return p, fmt.Errorf("read rules: %w", err)
	}
	return p, nil
}

// draw shows what is now, with rates since last.
func draw(out io.Writer, last, now picture) error {
	t := table{tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	s := now.status
	r := rates{s.Time.Sub(last.status.Time), s.Started.Equal(last.status.Started)}
	t.row("appgovd %s  %s  up %s  %d rules  %d alarms", s.Version, when(s.Time), s.Time.Sub(s.Started).Round(time.Second), s.Rules, len(s.Health))
	t.row("ledger %s of %s in %d segments, %s frames/s, %s alerts/s", size(&s.Ledger.Bytes), size(&s.Ledger.MaxBytes), s.Ledger.Segments,
		r.of(last.status.Ledger.LastLSN, s.Ledger.LastLSN), r.of(last.status.Ledger.Alerts, s.Ledger.Alerts))
	for _, h := range s.Health {
		t.row("alarm %s (%s): %q", h.Key, h.Severity, h.Text)
	}
	t.row("")
	t.topSinks(last.status, s, r)
	t.topRules(last, now, r)
	t.topSources(last.status, s, r)
	return t.w.Flush()
}

// rates are what counters grow by in a second.
type rates struct {
	over time.Duration
	same bool // the daemon is the one of before, so that its counters go on
}

func (r rates) of(before, now uint64) string {
	if !r.same || now < before || r.over <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", float64(now-before)/r.over.Seconds())
}

func (t table) topSinks(last, s app.Status, r rates) {
	before := map[string]app.SinkStatus{}
	for _, x := range last.Sinks {
		before[x.Sink] = x
	}
	t.row("SINK\tSTATE\tWAITING\tACCEPTED/S\tGROUPED/S\tDEAD LETTER\tLAST ACK\tERROR")
	for _, x := range s.Sinks {
		was := before[x.Sink]
		t.row("%s\t%s\t%d\t%s\t%s\t%d\t%s\t%s", x.Sink, x.State, x.Waiting, r.of(was.Accepted, x.Accepted), r.of(was.Grouped, x.Grouped), x.DeadLetter, when(x.LastAck), oneLine(x.Error))
	}
	t.row("")
}

// topRulesShown is how many rules are shown.
const topRulesShown = 8

func (t table) topRules(last, now picture, r rates) {
	type line struct {
		source, id             string
		matches, alerts, grown uint64
		mean                   time.Duration
		since                  string
	}
	var all []line
	for source, x := range now.rules {
		before := map[string]uint64{}
		for _, h := range last.rules[source].Rules {
			before[h.ID] = h.Matches
		}
		for _, h := range x.Rules {
			l := line{source: source, id: h.ID, matches: h.Matches, alerts: h.Alerts, mean: h.Mean, since: r.of(before[h.ID], h.Matches)}
			if r.same && h.Matches >= before[h.ID] {
				l.grown = h.Matches - before[h.ID]
			}
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b line) int {
		return cmp.Or(cmp.Compare(b.grown, a.grown), cmp.Compare(b.matches, a.matches), cmp.Compare(b.mean, a.mean), cmp.Compare(a.id, b.id), cmp.Compare(a.source, b.source))
	})
	t.row("RULE\tOF\tMATCHES/S\tMATCHES\tALERTS\tMEAN")
	for _, l := range all[:min(len(all), topRulesShown)] {
		t.row("%s\t%s\t%s\t%d\t%d\t%s", l.id, l.source, l.since, l.matches, l.alerts, l.mean)
	}
	t.row("")
}

func (t table) topSources(last, s app.Status, r rates) {
	before := map[string]app.SourceStatus{}
	for _, x := range last.Sources {
		before[x.Key] = x
	}
	order := slices.Clone(s.Sources)
	slices.SortStableFunc(order, func(a, b app.SourceStatus) int { return cmp.Compare(urgency(a), urgency(b)) })
	t.row("SOURCE\tSTATE\tBEHIND\tFETCHED/S\tNEW/S\tQUARANTINED\tGAP\tERROR")
	for _, x := range order {
		was := before[x.Key]
		t.row("%s\t%s\t%s\t%s\t%s\t%d\t%d\t%s", x.Key, x.Condition, cmp.Or(x.Behind, "-"), r.of(was.Account.Fetched, x.Account.Fetched), r.of(was.Account.New, x.Account.New), x.Account.Quarantined, x.Account.Gap, oneLine(x.Error))
	}
	for _, name := range slices.Sorted(maps.Keys(s.Apps)) {
		c := s.Apps[name]
		t.row("inventory %s: %d apps, %d grants, %d credentials", name, c.Apps, c.Grants, c.Credentials)
	}
}

// urgency puts sources that need a human first.
func urgency(s app.SourceStatus) int {
	switch s.Condition {
	case app.ConditionFailed:
		return 0
	case app.ConditionStalled:
		return 1
	case app.ConditionStarting:
		return 2
	}
	return 3
}

// screen shows pictures one over the other on a terminal, one behind the other elsewhere.
type screen struct {
	out  io.Writer
	size func() (rows, columns int) // nil where there is no terminal
}

func screenOf(out io.Writer) *screen {
	f, ok := out.(*os.File)
	if !ok {
		return &screen{out: out}
	}
	window := func() (int, int) {
		w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
		if err != nil {
			return 0, 0
		}
		return int(w.Row), int(w.Col)
	}
	if rows, _ := window(); rows == 0 {
		return &screen{out: out}
	}
	return &screen{out, window}
}

// Sequences of ECMA-48 and xterm: another screen without a cursor, and back; to the
// upper left; the rest of the line, and of the screen, is empty.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	emptyLine   = "\x1b[K\r\n"
	emptyRest   = "\x1b[J"
)

func (s *screen) open() {
	if s.size != nil {
		_, _ = io.WriteString(s.out, enterScreen)
	}
}

func (s *screen) close() {
	if s.size != nil {
		_, _ = io.WriteString(s.out, leaveScreen)
	}
}

func (s *screen) show(text []byte) error {
	if s.size == nil {
		_, err := fmt.Fprintf(s.out, "%s\n", text)
		return err
	}
	rows, columns := s.size()
	b := bytes.NewBufferString(goHome)
	for i, line := range bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n")) {
		if i >= rows-1 {
			break
		}
		b.Write(cut(line, columns))
		b.WriteString(emptyLine)
	}
	b.WriteString(emptyRest)
	_, err := s.out.Write(b.Bytes())
	return err
}

// cut is the part of a line that fits.
func cut(line []byte, columns int) []byte {
	n := 0
	for i := range columns {
		if n >= len(line) {
			return line
		}
		_, size := utf8.DecodeRune(line[n:])
		if n += size; i == columns-1 {
			break
		}
	}
	return line[:n]
}
