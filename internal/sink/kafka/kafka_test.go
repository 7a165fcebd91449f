package kafka

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
)

const (
	topic    = "alerts"
	password = "hunter2-hunter2"
)

func literal(s string) func(secret.Ref) (func() (string, error), error) {
	return func(secret.Ref) (func() (string, error), error) { return func() (string, error) { return s, nil }, nil }
}

func cluster(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(3, topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func sink(t *testing.T, c Config, password string) *Sink {
	t.Helper()
	c.Topic = topic
	if c.Timeout == "" {
		c.Timeout = "5s"
	}
	s, err := New(c, Options{Secret: literal(password)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// read reads n records of the topic, or what there is within a minute.
func read(t *testing.T, brokers []string, dialer *kafka.Dialer, n int) (all []kafka.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for partition := range 3 {
		conn, err := dialer.DialLeader(ctx, "tcp", brokers[0], topic, partition)
		if err != nil {
			t.Fatal(err)
		}
		first, last, err := conn.ReadOffsets()
		_ = conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		r := kafka.NewReader(kafka.ReaderConfig{Brokers: brokers, Topic: topic, Partition: partition, Dialer: dialer, MaxBytes: 16 << 20, MaxWait: 50 * time.Millisecond})
		for o := first; o < last; o++ {
			m, err := r.ReadMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, m)
		}
		_ = r.Close()
	}
	if len(all) < n {
		t.Logf("%d records of %d", len(all), n)
	}
	return all
}

func header(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func ids(all []kafka.Message) (ids []string) {
	for _, m := range all {
		ids = append(ids, header(m, "ce_id"))
	}
	return ids
}

// refuse lets the broker answer a produce request by what its records say.
func refuse(c *kfake.Cluster, code func(partition kmsg.ProduceRequestTopicPartition) kafka.Error) {
	c.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		req := r.(*kmsg.ProduceRequest)
		failed := false
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, t := range req.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, int16(code(p))
				failed = failed || rp.ErrorCode != 0
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, failed
	})
}

func always(k kafka.Error) func(kmsg.ProduceRequestTopicPartition) kafka.Error {
	return func(kmsg.ProduceRequestTopicPartition) kafka.Error { return k }
}

func TestConformance(t *testing.T) {
	sinktest.Run(t, sinktest.Suite{
		Can: []sinktest.Behaviour{sinktest.Down, sinktest.Silent, sinktest.Cut, sinktest.Throttle, sinktest.Refuse, sinktest.RefuseWhole},
		Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
			c := cluster(t)
			addrs := c.ListenAddrs()
			switch b {
			case sinktest.Down:
				c.Close()
			case sinktest.Silent:
				addrs = []string{silent(t, false)}
			case sinktest.Cut:
				addrs = []string{silent(t, true)}
			case sinktest.Throttle:
				refuse(c, always(kafka.ThrottlingQuotaExceeded))
			case sinktest.Refuse:
				refuse(c, always(kafka.TopicAuthorizationFailed))
			case sinktest.RefuseWhole:
				refuse(c, always(kafka.MessageSizeTooLarge))
			}
			return sinktest.Peer{
				Sink: sink(t, Config{Brokers: addrs}, ""), Secrets: []string{password},
				Got: func(n int) []string { return ids(read(t, addrs, kafka.DefaultDialer, n)) },
			}
		},
	})
}

// silent is a listener that takes connections and never says a word.
func silent(t *testing.T, cut bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if cut {
				_ = conn.Close()
			} else {
				t.Cleanup(func() { _ = conn.Close() })
			}
		}
	}()
	return l.Addr().String()
}

func TestARecordCarriesItsIdentityInHeadersAndBody(t *testing.T) {
	c := cluster(t)
	s := sink(t, Config{Brokers: c.ListenAddrs(), Format: "json"}, "")
	a := sinktest.Batch(1)[0]
	if err := s.Write(t.Context(), []event.Alert{a}); err != nil {
		t.Fatal(err)
	}
	m := read(t, c.ListenAddrs(), kafka.DefaultDialer, 1)[0]
	var body struct {
		AlertID    string `json:"alert_id"`
		DeliveryID string `json:"delivery_id"`
	}
	if err := json.Unmarshal(m.Value, &body); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{"key": string(m.Key), "alert": body.AlertID, "delivery": body.DeliveryID}
	for _, h := range m.Headers {
		got[h.Key] = string(h.Value)
	}
	if diff := cmp.Diff(map[string]string{
		"key": "contoso/app-0", "alert": a.ID.String(), "delivery": a.DeliveryID.String(),
		"ce_specversion": "1.0", "ce_id": a.DeliveryID.String(), "ce_source": "/appgovd/entra/contoso", "ce_type": "appgovd.alert.new", "ce_time": "2026-11-24T12:00:00Z", "ce_subject": "app-0",
		"content-type": "application/json", "detection_source": "App Governance", "alert_id": a.ID.String(), "delivery_id": a.DeliveryID.String(), "sequence": "0",
	}, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheOrderOfAnAppIsKeptOverManyRequests(t *testing.T) {
	c := cluster(t)
	s := sink(t, Config{Brokers: c.ListenAddrs(), MaxMessageBytes: leastMaxBytes}, "")
	batch := sinktest.Batch(300)
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	got := map[string][]string{}
	for _, m := range read(t, c.ListenAddrs(), kafka.DefaultDialer, len(batch)) {
		got[string(m.Key)] = append(got[string(m.Key)], header(m, "ce_id"))
	}
	want := map[string][]string{}
	for _, a := range batch {
		key := a.Tenant + "/" + a.App.Key()
		want[key] = append(want[key], a.DeliveryID.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAFailureKeepsEverythingBehindItBack(t *testing.T) {
	c := cluster(t)
	requests := 0
	refuse(c, func(kmsg.ProduceRequestTopicPartition) kafka.Error {
		if requests++; requests > 4 {
			return kafka.NotEnoughReplicas
		}
		return 0
	})
	s := sink(t, Config{Brokers: c.ListenAddrs(), MaxMessageBytes: leastMaxBytes}, "")
	batch := sinktest.Batch(60)
	err := s.Write(t.Context(), batch)
	var rejected *deliver.Rejected
	if !errors.As(err, &rejected) || len(rejected.Items) != 0 || fault.Hint(rejected.After) == "" {
		t.Fatalf("error %#v", err)
	}
	accepted := map[string]bool{}
	for _, id := range ids(read(t, c.ListenAddrs(), kafka.DefaultDialer, 0)) {
		accepted[id] = true
	}
	again := map[int]bool{}
	for _, i := range rejected.Retry {
		again[i] = true
	}
	last := map[string]int{}
	for i, a := range batch {
		if accepted[a.DeliveryID.String()] == again[i] {
			t.Errorf("alert %d: in the log %v, to be sent again %v", i, !again[i], again[i])
		}
		if again[i] {
			last[a.App.AppID] = i
		} else if _, overtaken := last[a.App.AppID]; overtaken {
			t.Errorf("alert %d of %s overtook an earlier one", i, a.App.AppID)
		}
	}
	if len(accepted) == 0 || len(again) == 0 {
		t.Errorf("%d accepted, %d again: nothing was shown", len(accepted), len(again))
	}
}

func TestOneRecordThatIsTooLargeIsRefusedAndItsNeighboursPass(t *testing.T) {
	c := cluster(t)
	s := sink(t, Config{Brokers: c.ListenAddrs(), MaxMessageBytes: leastMaxBytes}, "")
	batch := sinktest.Batch(3)
	for range 20 {
		batch[1].Evidence = append(batch[1].Evidence, event.Evidence{Summary: strings.Repeat("x", 1000)})
	}
	err := s.Write(t.Context(), batch)
	var rejected *deliver.Rejected
	if !errors.As(err, &rejected) || len(rejected.Items) != 1 || rejected.Items[0].Index != 1 || !strings.Contains(rejected.Items[0].Reason, "max_message_bytes") {
		t.Fatalf("error %#v", err)
	}
	if n := len(read(t, c.ListenAddrs(), kafka.DefaultDialer, 2)); n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}

func TestWhatTheBrokerSaysIsClassified(t *testing.T) {
	for _, tt := range []struct {
		name string
		code kafka.Error
		want fault.Class
		hint string
	}{
		{"a missing right waits for a human", kafka.TopicAuthorizationFailed, fault.Auth, "Write and Describe"},
		{"a wrong topic name does not fill the dead letter", kafka.InvalidTopic, fault.Auth, "check topic"},
		{"a topic that a broker does not know yet may come", kafka.UnknownTopicOrPartition, fault.Transient, "setup kafka"},
		{"a leader that moved is tried again", kafka.NotLeaderForPartition, fault.Transient, ""},
		{"too few replicas are waited for", kafka.NotEnoughReplicas, fault.Transient, "in sync"},
		{"a quota asks for patience", kafka.ThrottlingQuotaExceeded, fault.Throttled, ""},
		{"a batch that is too large is split", kafka.MessageSizeTooLarge, fault.Permanent, "max.message.bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := cluster(t)
			refuse(c, always(tt.code))
			err := sink(t, Config{Brokers: c.ListenAddrs()}, "").Write(t.Context(), sinktest.Batch(5))
			if fault.Of(err) != tt.want || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
	t.Run("one alert that is too large alone is refused for good", func(t *testing.T) {
		c := cluster(t)
		refuse(c, always(kafka.MessageSizeTooLarge))
		var rejected *deliver.Rejected
		if err := sink(t, Config{Brokers: c.ListenAddrs()}, "").Write(t.Context(), sinktest.Batch(1)); !errors.As(err, &rejected) || len(rejected.Items) != 1 {
			t.Errorf("error %#v", err)
		}
	})
	t.Run("a topic that nobody made is not made by us", func(t *testing.T) {
		c := cluster(t, kfake.AllowAutoTopicCreation())
		s, err := New(Config{Brokers: c.ListenAddrs(), Topic: "unmade"}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		err = s.Write(t.Context(), sinktest.Batch(1))
		if fault.Of(err) != fault.Auth || !strings.Contains(fault.Hint(err), "setup kafka") {
			t.Errorf("%v, hint %q", err, fault.Hint(err))
		}
	})
}

func TestLoggingIn(t *testing.T) {
	for _, mechanism := range []string{kafkalogin.SHA256, kafkalogin.SHA512} {
		t.Run(mechanism, func(t *testing.T) {
			c := cluster(t, kfake.EnableSASL(), kfake.Superuser(mechanism, "appgov", password))
			conf := Config{Brokers: c.ListenAddrs(), SASL: &kafkalogin.SASL{Mechanism: mechanism, Username: "appgov", Password: secret.Env("P")}}
			if err := sink(t, conf, password).Write(t.Context(), sinktest.Batch(2)); err != nil {
				t.Fatal(err)
			}
			err := sink(t, conf, "wrong-"+password).Write(t.Context(), sinktest.Batch(2))
			if err == nil || strings.Contains(err.Error()+fault.Hint(err), password) || !strings.Contains(fault.Hint(err), "password") {
				t.Errorf("a wrong password: %v, hint %q", err, fault.Hint(err))
			}
		})
	}
	t.Run("a rotated password is used without a restart", func(t *testing.T) {
		c := cluster(t, kfake.EnableSASL(), kfake.Superuser(kafkalogin.SHA512, "appgov", password))
		now := "old"
		s, err := New(Config{Brokers: c.ListenAddrs(), Topic: topic, SASL: &kafkalogin.SASL{Mechanism: kafkalogin.SHA512, Username: "appgov", Password: secret.Env("P")}},
			Options{Secret: func(secret.Ref) (func() (string, error), error) {
				return func() (string, error) { return now, nil }, nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		if err := s.Write(t.Context(), sinktest.Batch(1)); err == nil {
			t.Fatal("the old password works")
		}
		now = password
		if err := s.Write(t.Context(), sinktest.Batch(1)); err != nil {
			t.Errorf("the new password: %v", err)
		}
	})
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{Brokers: []string{"kafka:9092"}, Topic: topic}
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no broker", func(c *Config) { c.Brokers = nil }, "names no broker"},
		{"a broker without a port", func(c *Config) { c.Brokers = []string{"kafka"} }, "is not host:port"},
		{"a topic with a space", func(c *Config) { c.Topic = "a b" }, "is no topic"},
		{"an unknown compression", func(c *Config) { c.Compression = "rar" }, "is no compression"},
		{"an unknown format", func(c *Config) { c.Format = "xml" }, "is no format"},
		{"a timeout that is no duration", func(c *Config) { c.Timeout = "ten" }, "is not a duration"},
		{"PLAIN without TLS", func(c *Config) { c.SASL = &kafkalogin.SASL{Mechanism: "PLAIN", Username: "u", Password: "p"} }, "without TLS"},
		{"an unknown mechanism", func(c *Config) { c.SASL = &kafkalogin.SASL{Mechanism: "GSSAPI", Username: "u", Password: "p"} }, "no mechanism that is known"},
		{"OAUTHBEARER with a password", func(c *Config) {
			c.TLS, c.SASL = &kafkalogin.TLS{}, &kafkalogin.SASL{Mechanism: "OAUTHBEARER", Username: "u", Password: "p"}
		}, "not for OAUTHBEARER"},
		{"Event Hubs without a log-in", hubs(func(c *Config) { c.SASL = nil }), "want a log-in"},
		{"a codec that Event Hubs do not know", hubs(func(c *Config) { c.Compression = "zstd" }), "Event Hubs take none and gzip"},
		{"a request that Event Hubs do not take", hubs(func(c *Config) { c.MaxMessageBytes = 1 << 20 }), "close the connection"},
		{"half a client certificate", func(c *Config) { c.TLS = &kafkalogin.TLS{CertFile: "x"} }, "cert_file and key_file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := New(c, Options{}); err == nil {
				t.Error("New took it")
			}
		})
	}
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	hubs(func(*Config) {})(&ok)
	if err := ok.Validate().Err(); err != nil {
		t.Error(err)
	}
	if codec, _ := ok.compression(); codec != 0 || ok.maxBytes() > mostHubsBytes {
		t.Errorf("of Event Hubs the defaults are %v and %d bytes", codec, ok.maxBytes())
	}
}

// hubs makes the configuration one of Event Hubs, and changes it.
func hubs(change func(*Config)) func(*Config) {
	return func(c *Config) {
		c.Brokers, c.TLS = []string{"contoso.servicebus.windows.net:9093"}, &kafkalogin.TLS{}
		c.SASL = &kafkalogin.SASL{Mechanism: "OAUTHBEARER", ClientID: "a", ClientSecret: "x", TokenURL: "https://login.microsoftonline.com/t/oauth2/v2.0/token"}
		change(c)
	}
}

// all are the numbers below n.
func all(n int) (index []int) {
	for i := range n {
		index = append(index, i)
	}
	return index
}

func BenchmarkRecords(b *testing.B) {
	s, err := New(Config{Brokers: []string{"127.0.0.1:1"}, Topic: topic}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	batch := sinktest.Batch(500)
	b.ReportAllocs()
	var out recordBatch
	for b.Loop() {
		for todo := all(len(batch)); len(todo) > 0; {
			var v verdict
			n, _ := s.fill(&out, batch, todo, &v)
			if _, err := out.seal(s.compressor, time.Unix(0, 0)); err != nil || len(v.refused) > 0 {
				b.Fatal(err, v.refused)
			}
			todo = todo[n:]
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(batch)), "ns/alert")
}
