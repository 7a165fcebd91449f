package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/ingest"
	"github.com/appgovd/appgovd/internal/ingest/sourcetest"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
)

const (
	testTenant = "11111111-2222-3333-4444-555555555555"
	testTopic  = "insights-logs-auditlogs"
)

func epoch() time.Time { return time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC) }

func literal(s string) func(secret.Ref) (func() (string, error), error) {
	return func(secret.Ref) (func() (string, error), error) { return func() (string, error) { return s, nil }, nil }
}

// testRecord is a record of the tests: {"id":"7","time":"…","skip":false}.
type testRecord struct {
	ID   string    `json:"id"`
	Time time.Time `json:"time"`
	Skip bool      `json:"skip,omitempty"` // it is not collected
	App  string    `json:"app,omitempty"`  // it is a call of that app, and summed up
}

// testOptions decode {"records":[…]} and single testRecords.
func testOptions() Options {
	return Options{Key: "kafka/test/records", Decode: func(m []byte, out *Batch) {
		var env struct{ Records []json.RawMessage }
		if err := json.Unmarshal(m, &env); err != nil {
			out.Refuse(m, "not_json", err.Error())
			return
		}
		if env.Records == nil {
			env.Records = []json.RawMessage{m}
		}
		for _, raw := range env.Records {
			var r testRecord
			switch err := json.Unmarshal(raw, &r); {
			case err != nil:
				out.Refuse(raw, "not_json", err.Error())
			case r.ID == "":
				out.Refuse(raw, "no_id", "the record has no id")
			case r.App != "":
				out.Sum(&event.Event{UpstreamID: r.ID, Time: r.Time, App: event.App{AppID: r.App}, Call: &event.Call{Workload: "other", Endpoint: "x", Status: 200}})
			case !r.Skip:
				out.Keep(event.Event{ID: event.NewID("test", r.ID), Content: event.HashContent(raw), UpstreamID: r.ID, Time: r.Time, Raw: bytes.Clone(raw)})
			}
		}
	}}
}

func testConfig(brokers []string) KafkaConfig {
	return KafkaConfig{TenantID: testTenant, Brokers: brokers, Topics: []string{testTopic}, Idle: "300ms", Timeout: "10s"}
}

func newKafka(t testing.TB, c KafkaConfig, change ...func(*Options)) *Kafka {
	t.Helper()
	o := testOptions()
	for _, f := range change {
		f(&o)
	}
	k, err := NewKafka(c, o)
	if err != nil {
		t.Fatal(err)
	}
	k.maxWait, k.retry = 50*time.Millisecond, 50*time.Millisecond
	t.Cleanup(k.Close)
	return k
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, testTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// produce writes messages to a partition.
func produce(t testing.TB, brokers []string, topic string, id int, values ...string) {
	t.Helper()
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: topic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond,
		Balancer: kafka.BalancerFunc(func(kafka.Message, ...int) int { return id })}
	defer func() { _ = w.Close() }()
	ms := make([]kafka.Message, 0, len(values))
	for _, v := range values {
		ms = append(ms, kafka.Message{Value: []byte(v)})
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := w.WriteMessages(ctx, ms...); err != nil {
		t.Fatal(err)
	}
}

func record(id string, at time.Time) string {
	b, _ := json.Marshal(testRecord{ID: id, Time: at})
	return string(b)
}

func envelope(records ...string) string { return `{"records":[` + strings.Join(records, ",") + `]}` }

// drain reads until there is nothing more, and returns the ids, the pages and the cursor.
func drain(t testing.TB, s ingest.Source, cursor []byte) (ids []string, pages []event.Page, end []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		p, err := s.Read(ctx, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range p.Events {
			ids = append(ids, e.UpstreamID)
		}
		pages, cursor = append(pages, p), p.Cursor
		if p.Wait > 0 {
			return ids, pages, cursor
		}
	}
}

// spoil lets the broker answer fetches as the sourcetest.Break in wanted says.
func spoil(c *kfake.Cluster, wanted *atomic.Value) {
	c.ControlKey(int16(kmsg.Fetch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.FetchRequest)
		how := wanted.Load().(sourcetest.Break)
		if how == sourcetest.None {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.FetchResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewFetchResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewFetchResponseTopicPartition()
				rp.Partition, rp.HighWatermark = p.Partition, p.FetchOffset+100
				switch how {
				case sourcetest.Garbage:
					rp.RecordBatches = bytes.Repeat([]byte{0xff, 0x7b, 0x00}, 40)
				case sourcetest.Truncated:
					rp.RecordBatches = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}
				default:
					rp.ErrorCode = int16(kafka.NotLeaderForPartition)
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
}

func TestKafkaConformance(t *testing.T) {
	sourcetest.Run(t, func(t *testing.T) sourcetest.World {
		c := cluster(t)
		var how atomic.Value
		how.Store(sourcetest.None)
		var last *Kafka
		spoil(c, &how)
		var want []string
		for i := range 12 {
			a, b := fmt.Sprintf("a%02d", i), fmt.Sprintf("b%02d", i)
			produce(t, c.ListenAddrs(), testTopic, i%2, envelope(record(a, epoch().Add(-time.Duration(i)*time.Minute)), record(b, epoch())))
			want = append(want, a, b)
		}
		slices.Sort(want)
		return sourcetest.World{
			New: func(t *testing.T) ingest.Source {
				if last != nil {
					last.Close()
				}
				last = newKafka(t, testConfig(c.ListenAddrs()))
				last.maxRecords, last.fetchBytes = 4, 1
				return last
			},
			Break: func(b sourcetest.Break) {
				if how.Store(b); last != nil {
					last.stop() // what was fetched before
				}
			},
			Want: want,
		}
	})
}

func TestKafkaAccount(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0,
		envelope(record("1", epoch()), record("2", epoch().Add(-time.Hour)), `{"time":"2026-05-04T00:00:00Z"}`), "no json", record("3", epoch()), `{"id":"4","skip":true}`, "", strings.Repeat("x", 2000))
	cfg := testConfig(c.ListenAddrs())
	cfg.MaxMessageBytes = 1024
	k := newKafka(t, cfg)
	ids, pages, _ := drain(t, k, nil)
	slices.Sort(ids)
	if got := strings.Join(ids, ","); got != "1,2,3" {
		t.Errorf("read %s", got)
	}
	var reasons []string
	fetched := 0
	for _, p := range pages {
		fetched += p.Fetched
		for _, q := range p.Quarantined {
			reasons = append(reasons, q.Reason)
		}
	}
	slices.Sort(reasons)
	if got := strings.Join(reasons, ","); got != "no_id,not_json,not_json,too_large" || fetched != 7 {
		t.Errorf("%d fetched, quarantined for %s", fetched, got)
	}
}

func TestKafkaGaps(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("1", epoch()))
	k := newKafka(t, testConfig(c.ListenAddrs()))
	_, _, cursor := drain(t, k, nil)
	for name, x := range map[string]struct {
		next int64
		want string
		ids  string
	}{
		"a topic that was made anew":      {next: 500, want: "made anew or lost its end", ids: "1"},
		"messages that are there no more": {next: -5, want: "were deleted before they were read", ids: "1"},
	} {
		t.Run(name, func(t *testing.T) {
			at, err := parseOffsets(cursor)
			if err != nil {
				t.Fatal(err)
			}
			at.set(partition{testTopic, 0}, place{Next: x.next, Last: epoch()})
			ids, pages, end := drain(t, k, at.encode())
			var gaps []event.Gap
			for _, p := range pages {
				gaps = append(gaps, p.Gaps...)
			}
			if len(gaps) != 1 || !strings.Contains(gaps[0].Reason, x.want) || !gaps[0].From.Equal(epoch()) {
				t.Fatalf("gaps %v", gaps)
			}
			if strings.Join(ids, ",") != x.ids {
				t.Errorf("read %v", ids)
			}
			if _, again, _ := drain(t, k, end); len(again[0].Gaps) > 0 {
				t.Errorf("the gap is told again: %v", again[0].Gaps)
			}
		})
	}
}

// TestKafkaNewest: what comes behind the first look is read, also when nothing came
// between the first look and a restart.
func TestKafkaNewest(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("old", epoch()))
	cfg := testConfig(c.ListenAddrs())
	cfg.Start = "newest"
	k := newKafka(t, cfg)
	ids, _, cursor := drain(t, k, nil)
	k.Close()
	produce(t, c.ListenAddrs(), testTopic, 0, record("new", epoch()))
	more, _, _ := drain(t, newKafka(t, cfg), cursor)
	if len(ids) > 0 || strings.Join(more, ",") != "new" {
		t.Errorf("read %v, then %v", ids, more)
	}
}

// TestKafkaCommitsWhatIsDurable: the group is told of an offset only when it came
// back as a cursor.
func TestKafkaCommitsWhatIsDurable(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("1", epoch()), record("2", epoch()))
	k := newKafka(t, testConfig(c.ListenAddrs()))
	var cursor []byte
	for read := 0; read < 2; {
		p, err := k.Read(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		cursor, read = p.Cursor, read+p.Fetched
		if got := committed(t, c.ListenAddrs(), 0); got > 0 {
			t.Fatalf("the group was told offset %d before the page was durable", got)
		}
	}
	if _, err := k.Read(t.Context(), cursor); err != nil {
		t.Fatal(err)
	}
	if got := committed(t, c.ListenAddrs(), 0); got != 2 {
		t.Errorf("the group was told offset %d", got)
	}
}

func committed(t *testing.T, brokers []string, id int) int64 {
	t.Helper()
	client := &kafka.Client{Addr: kafka.TCP(brokers...)}
	r, err := client.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{GroupID: "appgovd", Topics: map[string][]int{testTopic: {id}}})
	if err != nil {
		t.Fatal(err)
	}
	return r.Topics[testTopic][0].CommittedOffset
}

func TestKafkaComplete(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("1", epoch()))
	cfg := testConfig(c.ListenAddrs())
	cfg.Lateness = "1h"
	before := time.Now()
	k := newKafka(t, cfg)
	_, pages, _ := drain(t, k, nil)
	got := pages[len(pages)-1].CompleteThrough
	if got.Before(before.Add(-time.Hour)) || got.After(time.Now().Add(-time.Hour)) {
		t.Errorf("complete through %v", got)
	}
}

func TestKafkaTroubles(t *testing.T) {
	connection := "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=c2VjcmV0;EntityPath=other-hub"
	for name, x := range map[string]struct {
		opts     []kfake.Opt
		change   func(*KafkaConfig)
		password string
		hubs     bool
		class    fault.Class
		text     string
		advice   string
	}{
		"a topic that there is not": {change: func(c *KafkaConfig) { c.Topics = []string{"insights-logs-audit"} }, class: fault.Auth,
			text: "look for topic insights-logs-audit", advice: "the topic does not exist"},
		"a wrong name of an Event Hub": {change: func(c *KafkaConfig) { c.Topics = []string{"insights-logs-audit"} }, hubs: true, class: fault.Auth,
			text: "look for topic insights-logs-audit", advice: "there is no Event Hub of that name in the namespace"},
		"a wrong password": {opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "appgov", "right")}, password: "wrong",
			change: func(c *KafkaConfig) { c.SASL = &kafkalogin.SASL{Mechanism: "PLAIN", Username: "appgov", Password: "x"} }, class: fault.Auth,
			text: "SASL", advice: "check user, password and mechanism"},
		"a connection string of another hub": {opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "appgov", "right")}, password: connection, hubs: true,
			change: func(c *KafkaConfig) {
				c.SASL = &kafkalogin.SASL{Mechanism: "PLAIN", Username: "$ConnectionString", Password: "x"}
			}, class: fault.Auth,
			text: `is for the Event Hub "other-hub" alone`, advice: "no EntityPath"},
		"a connection string of another namespace": {opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "appgov", "right")}, password: strings.TrimSuffix(connection, ";EntityPath=other-hub"), hubs: true,
			change: func(c *KafkaConfig) {
				c.SASL = &kafkalogin.SASL{Mechanism: "PLAIN", Username: "$ConnectionString", Password: "x"}
			}, class: fault.Auth,
			text: "SASL", advice: "the connection string is of another namespace"},
		"a password that is no connection string": {opts: []kfake.Opt{kfake.EnableSASL(), kfake.Superuser("PLAIN", "appgov", "right")}, password: "c2VjcmV0", hubs: true,
			change: func(c *KafkaConfig) {
				c.SASL = &kafkalogin.SASL{Mechanism: "PLAIN", Username: "$ConnectionString", Password: "x"}
			}, class: fault.Auth,
			text: "no connection string of Event Hubs", advice: "Listen"},
		"a broker that is not there": {change: func(c *KafkaConfig) { c.Brokers = []string{"127.0.0.1:1"} }, class: fault.Transient, text: "127.0.0.1:1", advice: "nothing listens at that address"},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster(t, x.opts...)
			cfg := testConfig(c.ListenAddrs())
			x.change(&cfg)
			o := testOptions()
			o.Secret = literal(x.password)
			checked := cfg
			checked.SASL = nil // PLAIN without TLS is for tests only
			k, err := NewKafka(checked, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			k.cfg = cfg
			if err := k.prepare(); err != nil {
				t.Fatal(err)
			}
			if x.hubs {
				k.cfg.Brokers = append(slices.Clone(cfg.Brokers), "contoso.servicebus.windows.net:9093")
			}
			_, err = k.Read(t.Context(), nil)
			assertTrouble(t, err, x.class, x.text, x.advice)
			if err != nil && strings.Contains(err.Error()+fault.Hint(err), "c2VjcmV0") {
				t.Errorf("the key is shown: %v", err)
			}
			if f := k.Check(t.Context())[0]; f.OK || !strings.Contains(f.Text, x.text) || !strings.Contains(f.Advice, x.advice) {
				t.Errorf("the check finds %+v", f)
			}
		})
	}
}

func assertTrouble(t *testing.T, err error, class fault.Class, text, advice string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if fault.Of(err) != class || !strings.Contains(err.Error(), text) || !strings.Contains(fault.Hint(err), advice) {
		t.Errorf("%s error %q\nadvice %q", fault.Of(err), err, fault.Hint(err))
	}
}

func TestKafkaCheck(t *testing.T) {
	c := cluster(t)
	produce(t, c.ListenAddrs(), testTopic, 0, record("1", epoch()))
	k := newKafka(t, testConfig(c.ListenAddrs()))
	for _, f := range k.Check(t.Context()) {
		if !f.OK {
			t.Errorf("%+v", f)
		}
	}
	produce(t, c.ListenAddrs(), testTopic, 0, "no json")
	if fs := k.Check(t.Context()); fs[1].OK || !strings.Contains(fs[1].Text, "1 of 2 records cannot be decoded") {
		t.Errorf("%+v", fs)
	}
}

// TestKafkaSumsUp: calls that are not kept are summed up by minute over messages and
// partitions, and the account counts each.
func TestKafkaSumsUp(t *testing.T) {
	c := cluster(t)
	call := func(id, app string, at time.Time) string {
		b, _ := json.Marshal(testRecord{ID: id, Time: at, App: app})
		return string(b)
	}
	at := epoch().Truncate(time.Minute)
	produce(t, c.ListenAddrs(), testTopic, 0, envelope(call("1", "b", at), call("2", "a", at), record("3", at)), call("4", "a", at.Add(59*time.Second)))
	produce(t, c.ListenAddrs(), testTopic, 1, call("5", "a", at.Add(time.Second)), call("6", "a", at.Add(-time.Second)))
	_, pages, _ := drain(t, newKafka(t, testConfig(c.ListenAddrs())), nil)
	calls, fetched, events := map[string]uint64{}, 0, 0
	for _, p := range pages {
		fetched, events = fetched+p.Fetched, events+len(p.Events)
		for _, r := range p.Rollups {
			calls[r.App+r.Minute.Format(" 15:04")] += r.Calls
		}
		if !slices.IsSortedFunc(p.Rollups, func(a, b event.Rollup) int { return a.Minute.Compare(b.Minute)*2 + strings.Compare(a.App, b.App) }) {
			t.Errorf("roll-ups are not in order: %v", p.Rollups)
		}
	}
	if fetched != 6 || events != 1 || len(calls) != 3 || calls["a 03:02"] != 3 || calls["b 03:02"] != 1 || calls["a 03:01"] != 1 {
		t.Errorf("%d fetched, %d events, calls %v", fetched, events, calls)
	}
}

// TestKafkaCountsACallOnce: a call that is delivered again in another message is seen;
// after a page that was never kept nothing is.
func TestKafkaCountsACallOnce(t *testing.T) {
	c := cluster(t)
	call := func(id string) string {
		b, _ := json.Marshal(testRecord{ID: id, Time: epoch(), App: "a"})
		return string(b)
	}
	produce(t, c.ListenAddrs(), testTopic, 0, envelope(call("1"), call("2")), call("1"))
	produce(t, c.ListenAddrs(), testTopic, 1, call("2"), call("3"))
	k := newKafka(t, testConfig(c.ListenAddrs()))
	for range 2 { // the second time nothing of the first was kept
		_, pages, _ := drain(t, k, nil)
		calls, seen, fetched := uint64(0), 0, 0
		for _, p := range pages {
			fetched, seen = fetched+p.Fetched, seen+p.Seen
			for _, r := range p.Rollups {
				calls += r.Calls
			}
		}
		if calls != 3 || seen != 2 || fetched != 5 {
			t.Errorf("%d calls, %d seen, %d fetched", calls, seen, fetched)
		}
	}
}

// TestKafkaCountsACallOnceAfterARestart: what was read before is recalled, also from
// another partition; what the ledger does not have is not.
func TestKafkaCountsACallOnceAfterARestart(t *testing.T) {
	c := cluster(t)
	call := func(id string) string {
		b, _ := json.Marshal(testRecord{ID: id, Time: epoch(), App: "a"})
		return string(b)
	}
	count := func(pages []event.Page) (calls uint64, seen int) {
		for _, p := range pages {
			seen += p.Seen
			for _, r := range p.Rollups {
				calls += r.Calls
			}
		}
		return calls, seen
	}
	var old []string
	for i := range recallStep + 10 {
		old = append(old, call(fmt.Sprint("old", i)))
	}
	produce(t, c.ListenAddrs(), testTopic, 0, old...)
	produce(t, c.ListenAddrs(), testTopic, 1, envelope(call("1"), call("2")))
	k := newKafka(t, testConfig(c.ListenAddrs()))
	_, pages, cursor := drain(t, k, nil)
	if calls, _ := count(pages); calls != recallStep+12 {
		t.Fatalf("%d calls", calls)
	}
	produce(t, c.ListenAddrs(), testTopic, 0, call("1"), call("3"))
	produce(t, c.ListenAddrs(), testTopic, 1, call("old0"), call("old1005"))
	drain(t, k, cursor) // read, and never kept
	k.Close()
	for range 2 {
		k := newKafka(t, testConfig(c.ListenAddrs()))
		_, pages, _ := drain(t, k, cursor)
		if calls, seen := count(pages); calls != 1 || seen != 3 {
			t.Errorf("%d calls, %d seen", calls, seen)
		}
		k.Close()
	}
}

func TestRecentIsBounded(t *testing.T) {
	r := newRecent()
	r.most = 10
	for i := range 100 {
		id := fmt.Sprint(i)
		if r.again(id) || !r.again(id) {
			t.Fatalf("%s is not told from its repetition", id)
		}
	}
	if n := len(r.young) + len(r.old); n > 20 {
		t.Errorf("%d are known", n)
	}
	if !r.again("95") || r.again("1") || r.again("") || r.again("") {
		t.Error("the last ones are not known, or the first ones are")
	}
}
