package app

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/sim"
)

// Why a fault cannot happen to a stream, or where else it is tried.
const (
	onTheDisk   = "a file is read from the disk: nobody throttles it, and no token or licence is asked for"
	atTheBroker = "tried with a real broker, whose OAUTHBEARER tokens live for seconds: `go test -run TestLogins ./internal/provider/stream`"
	atItsOffset = "a topic is read from its first record on, whenever that is allowed, as far as its broker keeps them"
	noneSent    = "a broker asks for no licence; a tenant without one sends less, and no record says so"
)

// streamHarm is a harm as it is done to the carriers of a stream.
type streamHarm struct {
	name   string
	cloud  func(*sim.Options)
	broker func(*carriers, *kfake.Cluster)
	late   bool                        // answers to fetches come late, as where a broker throttles
	cut    bool                        // connections, and files in the middle of a line or of a compressed file
	struck func([]sim.Issued, int) int // how often, of what was issued, and of what came in another order
	except map[string]string           // by kind of source
}

func streamHarms() []streamHarm {
	return []streamHarm{
		{name: "late", cloud: func(o *sim.Options) { o.Late, o.LateBy = 0.3, 26*time.Hour }, struck: counting(func(r, _ sim.Issued) bool { return r.Published.Sub(r.Time) > time.Hour })},
		{name: "duplicate", cloud: func(o *sim.Options) { o.Duplicates = 0.4 }, struck: counting(func(r, _ sim.Issued) bool { return r.Copies > 1 || r.Enriched })},
		{name: "same timestamp", cloud: func(o *sim.Options) { o.Grain = time.Minute }, struck: counting(func(r, before sim.Issued) bool { return r.Time.Equal(before.Time) })},
		{name: "out of order", cloud: func(o *sim.Options) { o.Late, o.LateBy = 0.5, 10*time.Minute }, struck: func(_ []sim.Issued, inverted int) int { return inverted }},
		{name: "failing pages", cut: true, broker: refusingFetches},
		{name: "throttling", late: true, except: map[string]string{"file": onTheDisk}},
		{name: "token expiry", except: map[string]string{"file": onTheDisk, "kafka": atTheBroker}},
		{name: "licence", except: map[string]string{"file": onTheDisk, "kafka": noneSent}},
		{name: "licence after a restart", except: map[string]string{"file": onTheDisk, "kafka": noneSent}},
		{name: "permission after a restart", except: map[string]string{"file": onTheDisk, "kafka": atItsOffset}},
	}
}

// counting counts the records that fit, each with the one before it.
func counting(fits func(r, before sim.Issued) bool) func([]sim.Issued, int) int {
	return func(all []sim.Issued, _ int) (n int) {
		for i := 1; i < len(all); i++ {
			if fits(all[i], all[i-1]) {
				n++
			}
		}
		return n
	}
}

// The same for streams: a topic and files, with every category that is collected.
func TestConservationOfStreams(t *testing.T) {
	for _, h := range streamHarms() {
		if len(h.except) == len(streamKinds()) {
			continue
		}
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { newCarriers(t, h).run(t) })
		})
	}
}

// streamKinds are the kinds of source that read streams.
func streamKinds() (kinds []string) {
	for kind := range sourceKinds() {
		if kind != "entra" {
			kinds = append(kinds, kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// carriers are a broker and a directory of files, and an agent that reads both.
type carriers struct {
	h      streamHarm
	dir    string
	net    kfake.VirtualNetwork
	clouds map[string]*sim.Cloud // by kind of source
	hits   map[string]*atomic.Int64
	sent   map[string]map[string]int // by kind, by category
	order  map[string]*int           // records that came behind a later one

	dials atomic.Int64
	peace atomic.Bool // everything was sent: no harm is done any more
}

const carried = 3 * time.Minute // in which records come

func newCarriers(t *testing.T, h streamHarm) *carriers {
	x := &carriers{h: h, dir: t.TempDir(), clouds: map[string]*sim.Cloud{}, hits: map[string]*atomic.Int64{}, sent: map[string]map[string]int{}, order: map[string]*int{}}
	for i, kind := range streamKinds() {
		o := sim.Options{Seed: int64(100 + i), Apps: 30, Users: 10, Events: 250, Calls: 250, EventsPerSecond: 250 / carried.Seconds(), Now: time.Now, Start: time.Now()}
		if h.cloud != nil {
			h.cloud(&o)
		}
		cloud, err := sim.New(o)
		if err != nil {
			t.Fatal(err)
		}
		x.clouds[kind], x.hits[kind], x.sent[kind], x.order[kind] = cloud, &atomic.Int64{}, map[string]int{}, new(int)
	}
	return x
}

const carriedTopic = "insights-logs"

func (x *carriers) run(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(19092), kfake.ListenFn(x.net.Listen), kfake.SeedTopics(3, carriedTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	if x.h.broker != nil {
		x.h.broker(x, cluster)
	}
	_, stop := x.start(t)
	var sending sync.WaitGroup
	sending.Go(func() { x.stream(t, "kafka", x.produce(t)) })
	sending.Go(func() { x.stream(t, "file", x.append) })
	<-time.After(carried / 2)
	stop()
	<-time.After(5 * time.Second)
	a, stop := x.start(t)
	sending.Wait()
	x.peace.Store(true)
	<-time.After(5 * time.Minute)
	synctest.Wait() // no page is on its way
	states := a.Status().Sources
	stop()
	told := read(t, x.dir+"/state")
	for _, s := range states {
		x.compare(t, told.of(s.Key), s)
	}
	if len(states) != len(streamKinds()) {
		t.Errorf("%d sources", len(states))
	}
}

func (x *carriers) compare(t *testing.T, h *holding, s SourceStatus) {
	t.Helper()
	kind := filepath.Base(filepath.Dir(s.Key)) // the source block has the name of its kind
	cloud := x.clouds[kind]
	issued := cloud.Issued()
	want := cloud.Traits()["servicePrincipalRiskDetections"]
	for _, p := range cloud.Inventory().ServicePrincipals { // the verdict on an app has the id of its principal
		if slices.Contains(cloud.Traits()["riskyServicePrincipals"], p.ID) {
			want = append(want, p.ID)
		}
	}
	for _, r := range issued {
		if r.Kind != "alert" {
			want = append(want, r.ID)
		}
	}
	h.compare(t, want, false)
	h.count(t, s)
	for c := range categories() {
		if x.sent[kind][c] == 0 {
			t.Errorf("%s: no record of %s was sent", kind, c)
		}
	}
	struck := int(x.hits[kind].Load())
	if x.h.struck != nil {
		struck = x.h.struck(issued, *x.order[kind])
	}
	if why := x.h.except[kind]; (why == "") == (struck == 0) {
		t.Errorf("%s was struck %d times; the table says %q", kind, struck, cmp.Or(why, "tried"))
	}
}

func (x *carriers) start(t *testing.T) (a *Agent, stop func()) {
	t.Helper()
	write := func(name, text string) string {
		path := filepath.Join(x.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("rules/every.hcl", everyRecord())
	write("export/.keep", "")
	text := fmt.Sprintf("agent {\n  state_dir = %q\n  tick = \"1m\"\n  snapshot = \"2m\"\n  shutdown_timeout = \"1s\"\n}\nrules = [%q]\nsink \"stdout\" \"out\" {}\n", x.dir+"/state", x.dir+"/rules")
	every := `"` + strings.Join(slices.Sorted(maps.Keys(categories())), `", "`) + `"`
	text += fmt.Sprintf("source \"kafka\" \"kafka\" {\n  tenant_id = %q\n  brokers = [\"127.0.0.1:19092\"]\n  topics = [%q]\n  categories = [%s]\n  keep = \"all\"\n}\n", x.clouds["kafka"].TenantID(), carriedTopic, every)
	text += fmt.Sprintf("source \"file\" \"file\" {\n  tenant_id = %q\n  paths = [%q]\n  categories = [%s]\n  keep = \"all\"\n}\n", x.clouds["file"].TenantID(), x.dir+"/export/*", every)
	return startAgent(t, write("agent.hcl", text), Options{Dial: x.dial, Stdout: io.Discard})
}

// stream sends all records of the cloud of a kind, and counts them.
func (x *carriers) stream(t *testing.T, kind string, send func(context.Context, [][]byte) error) {
	last := ""
	err := x.clouds[kind].Stream(t.Context(), nil, func(ctx context.Context, messages [][]byte) error {
		for _, m := range messages {
			var env struct {
				Records []struct {
					Category, Time string
				}
			}
			if err := json.Unmarshal(m, &env); err != nil {
				return err
			}
			for _, r := range env.Records {
				x.sent[kind][r.Category]++
				if r.Category == "MicrosoftGraphActivityLogs" { // whose time is the record's
					if r.Time < last {
						*x.order[kind]++
					}
					last = r.Time
				}
			}
		}
		return send(ctx, messages)
	})
	if err != nil {
		t.Error(err)
	}
}

func (x *carriers) produce(t *testing.T) func(context.Context, [][]byte) error {
	client, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:19092"), kgo.Dialer(x.net.DialContext), kgo.DefaultProduceTopic(carriedTopic), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return func(ctx context.Context, messages [][]byte) error {
		var records []*kgo.Record
		for _, m := range messages {
			records = append(records, &kgo.Record{Value: m})
		}
		return client.ProduceSync(ctx, records...).FirstErr()
	}
}

// append adds lines to a file that is renamed now and then, and compressed. Where the
// harm cuts, the reader sees halves of lines and of compressed files.
func (x *carriers) append(_ context.Context, messages [][]byte) error {
	path := filepath.Join(x.dir, "export", "records.json")
	for _, m := range messages {
		line := append(bytes.Clone(m), '\n')
		if err := x.grow(path, line, os.O_APPEND); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() < 200<<10 {
		return err
	}
	aside := fmt.Sprintf("%s.%d", path, time.Now().Unix())
	if err := os.Rename(path, aside); err != nil {
		return err
	}
	return x.compress(aside)
}

func (x *carriers) compress(path string) error {
	<-time.After(20 * time.Second) // it is read by then, as gzip's delaycompress has it
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := x.grow(path+".gz", b.Bytes(), os.O_TRUNC); err != nil {
		return err
	}
	return os.Remove(path)
}

// grow writes b to a file, in two pieces where the harm cuts, by the clock of the trial.
func (x *carriers) grow(path string, b []byte, how int) error {
	parts := [][]byte{b}
	if x.h.cut {
		parts = [][]byte{b[:len(b)/2], b[len(b)/2:]}
	}
	for i, p := range parts {
		if i > 0 {
			<-time.After(3 * time.Second)
			x.hits["file"].Add(1)
			how = os.O_APPEND
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|how, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(p)
		if err := cmp.Or(err, f.Close(), os.Chtimes(path, time.Now(), time.Now())); err != nil {
			return err
		}
	}
	return nil
}

// dial connects to the broker. Where the harm cuts, every third connection ends behind
// some bytes, in the middle of an answer; where it throttles, answers come late.
func (x *carriers) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := x.net.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &harmedConn{Conn: conn, x: x, number: x.dials.Add(1)}, nil
}

type harmedConn struct {
	net.Conn
	x      *carriers
	number int64        // of the connection
	read   atomic.Int64 // bytes
	fetch  atomic.Int64 // requests for messages
	asked  atomic.Bool  // the answer to one is to come
}

// Write notes what is asked for.
func (c *harmedConn) Write(b []byte) (int, error) {
	asks := len(b) > 6 && kmsg.Key(binary.BigEndian.Uint16(b[4:])) == kmsg.Fetch
	if c.asked.Store(asks); asks {
		c.fetch.Add(1)
	}
	return c.Conn.Write(b)
}

// Read does the harm.
func (c *harmedConn) Read(b []byte) (int, error) {
	if c.x.peace.Load() {
		return c.Conn.Read(b)
	}
	throttled := c.asked.Swap(false) && c.fetch.Load()%5 == 2
	switch {
	case c.x.h.cut && c.number%3 == 0 && c.read.Load() > 60_000:
		c.x.hits["kafka"].Add(1)
		_ = c.Close()
		return 0, io.ErrUnexpectedEOF
	case c.x.h.late && throttled: // now and then later than the reader waits
		c.x.hits["kafka"].Add(1)
		by := 4 * time.Second
		if c.fetch.Load()%20 == 17 {
			by = 30 * time.Second
		}
		<-time.After(by)
	}
	n, err := c.Conn.Read(b)
	c.read.Add(int64(n))
	return n, err
}

// refusingFetches refuses one of five fetches.
func refusingFetches(x *carriers, c *kfake.Cluster) {
	n := 0
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: carriedTopic, Count: -1, When: func(kmsg.Request) bool {
		n++
		refused := n%5 == 0 && !x.peace.Load()
		if refused {
			x.hits["kafka"].Add(1)
		}
		return refused
	}})
}
