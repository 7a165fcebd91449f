package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	segmentio "github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sink/kafka"
)

// sinks measures the way from the ledger to servers beside the tools of others, in turn
// and to the same server, on two cores which the server has a part of. which is a part
// of it, or "all".
func sinks(which, rounds string) error {
	turns, err := strconv.Atoi(rounds)
	if err != nil {
		return fmt.Errorf("read number of rounds: %w", err)
	}
	runtime.GOMAXPROCS(2)
	dir, err := os.MkdirTemp(".", "appgovd-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	t := &program{ctx: context.Background()}
	defer t.end()
	known := false
	for _, part := range []struct {
		name string
		run  func(t *program, dir string, turns int) error
	}{{"kafka", toKafka}, {"elasticsearch", toElastic}, {"syslog", toSyslog}, {"dead", besideDead}} {
		if which != part.name && which != "all" {
			continue
		}
		known = true
		if err := part.run(t, filepath.Join(dir, part.name), turns); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		t.end()
	}
	if !known {
		return fmt.Errorf("there is no part %q", which)
	}
	return nil
}

// contender does the same work as the others, and returns how many records it did a second.
type contender struct {
	name string
	run  func(turn int) (float64, error)
}

// compete lets all run in turn, prints what each did, and returns it by contender and turn.
func compete(turns int, all ...contender) ([][]float64, error) {
	speeds := make([][]float64, len(all))
	for turn := range turns {
		for i := range all {
			at := (i + turn) % len(all) // who was first is last the next time
			lean()
			speed, err := all[at].run(turn)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", all[at].name, err)
			}
			speeds[at] = append(speeds[at], speed)
			fmt.Printf("round %d: %-34s %8.0f records/s\n", turn+1, all[at].name, speed)
		}
	}
	return speeds, nil
}

// lean collects what earlier turns left, and lets the heap have as much garbage as the
// daemon allows a small state (cmd/appgovd/lean.go): 24 MiB.
func lean() {
	runtime.GC()
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(live)
	debug.SetGCPercent(max(50, int((24<<20)*100/max(live[0].Value.Uint64(), 4<<20))))
}

// faster prints the middle of the ratios of two contenders in the same round.
func faster(what string, a, b []float64, bar string) {
	fmt.Printf("%-62s %9.2f  (%s)\n", what, middle(len(a), func(i int) float64 { return a[i] / b[i] }), bar)
}

// store is a ledger full of alerts.
type store struct {
	*ledger.Ledger
	alerts  int
	cursors int
}

// perFrame is how many alerts a page brought.
const perFrame = 1000

func newStore(dir string, frames int) (*store, error) {
	l, err := ledger.Open(dir, ledger.Options{})
	if err != nil {
		return nil, err
	}
	s := &store{Ledger: l}
	random := rand.New(rand.NewPCG(5, 6))
	for range frames {
		f := &event.Frame{Kind: event.FramePage, Source: "entra/contoso/sign_ins", Mark: []byte("mark")}
		for range perFrame {
			f.Alerts = append(f.Alerts, alertOf(random, s.alerts))
			s.alerts++
		}
		wait, err := l.Append(f)
		if err == nil {
			err = wait(context.Background())
		}
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return s, nil
}

// alertOf is an alert as the rules that ship make them, of one of 1,000 apps.
func alertOf(r *rand.Rand, i int) event.Alert {
	at := began.Add(time.Duration(i) * time.Millisecond)
	app := r.IntN(1000)
	_, ip := client(r)
	a := event.Alert{
		ID: event.NewID("bench", strconv.Itoa(i)), Sequence: 1, State: event.AlertNew, Kind: event.AlertDetection, Provider: "entra", Tenant: tenant,
		RuleID: "entra.credential_added", Title: "A credential was added to an app", Summary: "A secret was added to an app with high permissions by a user that never did so before: " + guid(r),
		Severity: event.SeverityHigh, Score: 70, Time: at, Opened: at, Techniques: []string{"T1098.001"},
		App:      event.App{AppID: fmt.Sprintf("00000000-0000-4000-8000-%012d", app), ID: guid(r), Name: fmt.Sprintf("Line of business app %d", app)},
		Actor:    event.Actor{Type: event.TypeUser, ID: guid(r), Name: "Alice Example", UPN: "alice@contoso.example"},
		Origin:   event.Origin{IP: ip},
		Evidence: []event.Evidence{{EventID: event.NewID("e", strconv.Itoa(i)), UpstreamID: guid(r), Time: at, Action: "app.credential.added", Summary: "Update application - Certificates and secrets management"}}, EvidenceTotal: 1,
	}
	a.SetDelivery()
	return a
}

// size is how many bytes of a document there are to an alert.
func (s *store) size(encode format.Encoder) int {
	random, n := rand.New(rand.NewPCG(5, 6)), 0
	for i := range perFrame {
		a := alertOf(random, i)
		n += len(encode(nil, &a))
	}
	return n / perFrame
}

// deliver takes all alerts to sink by a worker with a cursor of its own, and returns how
// many it were a second; every one must be accepted.
func (s *store) deliver(sink deliver.Sink) (speed float64, err error) {
	s.cursors++
	name := fmt.Sprintf("bench/%d", s.cursors)
	reader, err := s.Reader(name, ledger.ReaderOptions{FromStart: true})
	if err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	c := &counted{Reader: reader, want: uint64(s.alerts), done: stop}
	begin := time.Now()
	err = deliver.New(deliver.Options{Name: name, Sink: sink, Reader: c, DeadLetters: s}).Run(ctx)
	took := time.Since(begin)
	if err = errors.Join(err, sink.Close()); err == nil && c.accepted != uint64(s.alerts) {
		err = fmt.Errorf("%d of %d alerts accepted", c.accepted, s.alerts)
	}
	return float64(s.alerts) / took.Seconds(), err
}

// counted ends the worker when everything is settled.
type counted struct {
	*ledger.Reader
	want, settled, accepted uint64
	done                    func()
}

// Ack counts.
func (c *counted) Ack(pos event.Position, n event.Settled) error {
	err := c.Reader.Ack(pos, n)
	c.accepted += n.Accepted
	if c.settled += n.Total(); c.settled >= c.want {
		c.done()
	}
	return err
}

// toKafka: the broker's own load tool is the measure.
func toKafka(t *program, dir string, turns int) error {
	const frames, partitions = 200, 3
	s, err := newStore(dir, frames)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	encode, err := format.Named("json", nil)
	if err != nil {
		return err
	}
	k := servicetest.Kafka(t)
	fmt.Printf("\nledger to Kafka: %d alerts of %d bytes, acks = all, %d partitions; the tool sends records of 1,200 bytes with its default batches\n", s.alerts, s.size(encode), partitions)
	own := func(compression string) func(int) (float64, error) {
		return func(turn int) (float64, error) {
			topic := fmt.Sprintf("own-%s-%d", cmp.Or(compression, "default"), turn)
			k.CreateTopic(t, topic, partitions)
			defer dropTopic(k.Plain, topic)
			sink, err := kafka.New(kafka.Config{Brokers: []string{k.Plain}, Topic: topic, Format: "json", Compression: compression}, kafka.Options{})
			if err != nil {
				return 0, err
			}
			return s.deliver(sink)
		}
	}
	tool := func(turn int) (float64, error) {
		topic := fmt.Sprintf("tool-%d", turn)
		k.CreateTopic(t, topic, partitions)
		defer dropTopic(k.Plain, topic)
		return producerPerformance(t, k.Plain, topic, s.alerts)
	}
	speeds, err := compete(turns, contender{"appgovd", own("")}, contender{"appgovd, compression = \"none\"", own("none")}, contender{"kafka-producer-perf-test", tool})
	if err != nil {
		return err
	}
	faster("ledger to Kafka, appgovd / the broker's load tool", speeds[0], speeds[2], "at least 1.5")
	faster("the same, neither compresses", speeds[1], speeds[2], "no bar")
	return nil
}

// dropTopic makes room on the disk.
func dropTopic(broker, topic string) {
	client := &segmentio.Client{Addr: segmentio.TCP(broker), Timeout: time.Minute}
	_, _ = client.DeleteTopics(context.Background(), &segmentio.DeleteTopicsRequest{Topics: []string{topic}})
}

// producerPerformance runs the broker's load tool and returns what it says of its speed.
func producerPerformance(t *program, broker, topic string, n int) (float64, error) {
	cmd := exec.Command(servicetest.Program(t, "java"), "-Xmx512m", "-cp", servicetest.KafkaJars(t), "org.apache.kafka.tools.ProducerPerformance",
		"--topic", topic, "--num-records", strconv.Itoa(n), "--record-size", "1200", "--throughput", "-1", "--producer-props", "bootstrap.servers="+broker, "acks=all")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	all := regexp.MustCompile(`(\d+) records sent, ([0-9.]+) records/sec`).FindAllSubmatch(out, -1)
	if len(all) == 0 || string(all[len(all)-1][1]) != strconv.Itoa(n) {
		return 0, fmt.Errorf("it does not say how fast it sent %d records: %s", n, out)
	}
	return strconv.ParseFloat(string(all[len(all)-1][2]), 64)
}
