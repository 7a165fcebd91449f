package kafka

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestRealKafka(t *testing.T) {
	k := servicetest.Kafka(t)
	connect := func(t *testing.T, c Config, password string) *Sink {
		t.Helper()
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
	trusted := &kafkalogin.TLS{CAFile: k.CAFile}
	login := func(mechanism string) *kafkalogin.SASL {
		return &kafkalogin.SASL{Mechanism: mechanism, Username: k.User, Password: secret.Env("P")}
	}
	t.Run("a probe tells a topic that is missing and a log-in that is refused, each with what helps", func(t *testing.T) {
		c := Config{Brokers: []string{k.TLS}, TLS: trusted, SASL: login(kafkalogin.SHA512), Topic: "nowhere"}
		if found, err := connect(t, c, k.Password).Probe(t.Context()); err == nil || !strings.Contains(fault.Hint(err), "setup kafka") {
			t.Errorf("topic: %q, %v, hint %q", found, err, fault.Hint(err))
		}
		if found, err := connect(t, c, "wrong").Probe(t.Context()); err == nil || !strings.Contains(fault.Hint(err), "password") || strings.Contains(err.Error(), "wrong\"") {
			t.Errorf("password: %q, %v, hint %q", found, err, fault.Hint(err))
		}
	})
	withCertificate := &kafkalogin.TLS{CAFile: k.CAFile, CertFile: k.ClientCert, KeyFile: k.ClientKey}

	for name, c := range map[string]Config{
		"plaintext":              {Brokers: []string{k.Plain}},
		"mutual TLS":             {Brokers: []string{k.MutualTLS}, TLS: withCertificate},
		"SASL PLAIN over TLS":    {Brokers: []string{k.TLS}, TLS: trusted, SASL: login(kafkalogin.Plain)},
		"SCRAM-SHA-512 over TLS": {Brokers: []string{k.TLS}, TLS: trusted, SASL: login(kafkalogin.SHA512)},
	} {
		t.Run("every alert arrives in the order of its app over "+name, func(t *testing.T) {
			c.Topic = strings.ReplaceAll(name, " ", "-")
			k.CreateTopic(t, c.Topic, 3)
			if found, err := connect(t, c, k.Password).Probe(t.Context()); err != nil || found != "topic "+c.Topic+" has 3 partitions on 1 brokers" {
				t.Errorf("probe: %q, %v", found, err)
			}
			s, batch := connect(t, c, k.Password), append(sinktest.Batch(300), sinktest.Full())
			for i := 0; i < len(batch); i += 100 {
				again(t, s, batch[i:min(i+100, len(batch))]) // a new topic's leaders may not be known at once
			}
			want := map[string][]string{}
			for _, a := range batch {
				key := a.Tenant + "/" + a.App.Key()
				want[key] = append(want[key], a.DeliveryID.String())
			}
			if diff := cmp.Diff(want, byKey(t, k, c.Topic)); diff != "" {
				t.Errorf("ids by key (-sent +arrived):\n%s", diff)
			}
		})
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run("the broker and another reader take what is packed by "+codec, func(t *testing.T) {
			k.CreateTopic(t, "codec-"+codec, 2)
			batch := sinktest.Batch(300)
			again(t, connect(t, Config{Brokers: []string{k.Plain}, Topic: "codec-" + codec, Compression: codec}, ""), batch)
			for key, ids := range byKey(t, k, "codec-"+codec) {
				if want := sentTo(batch, key); !slices.Equal(ids, want) {
					t.Errorf("of %s %d records arrived, want %d", key, len(ids), len(want))
				}
			}
			if got := len(arrived(t, k, "codec-"+codec)); got != len(batch) {
				t.Errorf("%d records, want %d", got, len(batch))
			}
		})
	}
	t.Run("kinds go to topics of their own, and one that is missing keeps no other back", func(t *testing.T) {
		k.CreateTopic(t, "kinds", 3)
		k.CreateTopic(t, "kinds-risk", 1)
		s := connect(t, Config{Brokers: []string{k.Plain}, Topic: "kinds", Topics: map[string]string{event.AlertRisk: "kinds-risk", event.AlertHealth: "kinds-health", event.AlertPolicy: "kinds"}}, "")
		batch, of := sinktest.Batch(300), map[string][]event.Alert{}
		for i := range batch {
			batch[i].Kind = event.AlertKinds()[i%len(event.AlertKinds())]
			topic := s.topicOf(&batch[i])
			of[topic] = append(of[topic], batch[i])
		}
		var rejected *deliver.Rejected
		err := s.Write(t.Context(), batch)
		if !errors.As(err, &rejected) || len(rejected.Items) > 0 || fault.Of(rejected.After) != fault.Auth || !strings.Contains(rejected.After.Error(), "kinds-health") || !strings.Contains(fault.Hint(rejected.After), "setup kafka") {
			t.Fatalf("%v, hint %q", err, fault.Hint(err))
		}
		var rest []event.Alert
		for _, i := range rejected.Retry {
			rest = append(rest, batch[i])
		}
		if diff := cmp.Diff(sinktest.IDs(of["kinds-health"]), sinktest.IDs(rest)); diff != "" {
			t.Errorf("to be sent again (-of the topic +rejected):\n%s", diff)
		}
		if _, err := s.Probe(t.Context()); fault.Of(err) != fault.Auth || !strings.Contains(err.Error(), "kinds-health") {
			t.Errorf("probe: %v", err)
		}
		k.CreateTopic(t, "kinds-health", 2)
		again(t, s, rest)
		for topic, sent := range of {
			for key, ids := range byKey(t, k, topic) {
				if want := sentTo(sent, key); !slices.Equal(ids, want) {
					t.Errorf("%s has of %s %v, want %v", topic, key, ids, want)
				}
			}
			if got := len(arrived(t, k, topic)); got != len(sent) || got == 0 {
				t.Errorf("%s has %d records, want %d", topic, got, len(sent))
			}
		}
		if found, err := s.Probe(t.Context()); err != nil || found != "topic kinds has 3 partitions, topic kinds-health has 2 partitions, topic kinds-risk has 1 partitions on 1 brokers" {
			t.Errorf("probe: %q, %v", found, err)
		}
	})
	t.Run("events go by their class", func(t *testing.T) {
		k.CreateTopic(t, "events", 1)
		k.CreateTopic(t, "signins", 1)
		s := connect(t, Config{Brokers: []string{k.Plain}, Topic: "events", Topics: map[string]string{event.ClassSignIn: "signins"}}, "")
		var batch []event.Alert
		for i := range 20 {
			e := event.Event{ID: event.NewID("event", string(rune('a'+i))), Class: event.Classes()[i%3], Tenant: "contoso", Time: time.Unix(int64(i), 0)}
			batch = append(batch, event.Forwarded(&e))
		}
		again(t, s, batch)
		for _, topic := range []string{"events", "signins"} {
			var want []string
			for _, a := range batch {
				if (a.Event.Class == event.ClassSignIn) == (topic == "signins") {
					want = append(want, a.DeliveryID.String())
				}
			}
			var got []string
			for _, m := range k.Records(t, topic) {
				got = append(got, header(m, "ce_id"))
			}
			if !slices.Equal(got, want) || len(got) == 0 {
				t.Errorf("%s has %v, want %v", topic, got, want)
			}
		}
	})
	t.Run("hostile text stays one record", func(t *testing.T) {
		k.CreateTopic(t, "hostile", 1)
		batch := sinktest.Batch(len(sinktest.Hostile()))
		for i, text := range sinktest.Hostile() {
			batch[i].Title, batch[i].App.AppID, batch[i].App.Name, batch[i].Tenant = text[:min(len(text), 200)], text, text, text
		}
		again(t, connect(t, Config{Brokers: []string{k.Plain}, Topic: "hostile"}, ""), batch)
		if got := arrived(t, k, "hostile"); !slices.Equal(got, sinktest.IDs(batch)) {
			t.Errorf("%d records, want %d", len(got), len(batch))
		}
	})
	t.Run("a record that is larger than the topic takes goes to the dead letter with the broker's reason", func(t *testing.T) {
		k.CreateTopic(t, "small", 1, "max.message.bytes=4000")
		batch := sinktest.Batch(8)
		for i := range 300 { // so that no compression makes it small
			batch[3].Evidence = append(batch[3].Evidence, event.Evidence{EventID: event.NewID("x", string(rune('a'+i)))})
		}
		got, dead := deliverAll(t, connect(t, Config{Brokers: []string{k.Plain}, Topic: "small"}, ""), batch)
		if got != 7 || len(dead) != 1 || !strings.Contains(dead[0].Reason, "Message Size Too Large") || dead[0].Alert.ID != batch[3].ID {
			t.Errorf("%d accepted, dead letters %+v", got, dead)
		}
		want := sinktest.IDs(append(batch[:3:3], batch[4:]...))
		if ids := distinctIDs(arrived(t, k, "small")); !slices.Equal(ids, want) {
			t.Errorf("ids %v, want %v", ids, want)
		}
	})
	for _, tt := range []struct {
		name     string
		c        Config
		password string
		class    fault.Class
		hint     string
	}{
		{"a wrong password is not shown, and the hint names it", Config{Brokers: []string{k.TLS}, TLS: trusted, SASL: login(kafkalogin.SHA512)}, "hunter2-hunter2", fault.Auth, "password"},
		{"a wrong password of PLAIN, too", Config{Brokers: []string{k.TLS}, TLS: trusted, SASL: login(kafkalogin.Plain)}, "hunter2-hunter2", fault.Auth, "password"},
		{"an authority that is not trusted waits for a human", Config{Brokers: []string{k.TLS}, TLS: &kafkalogin.TLS{}, SASL: login(kafkalogin.SHA512)}, k.Password, fault.Auth, "ca_file"},
		{"a client without a certificate is told to bring one", Config{Brokers: []string{k.MutualTLS}, TLS: trusted}, "", fault.Auth, "client certificate"},
		{"no TLS where the broker wants it", Config{Brokers: []string{k.MutualTLS}}, "", fault.Transient, "tls"},
		{"a topic that nobody made pauses the sink", Config{Brokers: []string{k.Plain}, Topic: "unmade"}, "", fault.Auth, "setup kafka"},
		{"nothing listens", Config{Brokers: []string{"127.0.0.1:1"}}, "", fault.Transient, "nothing listens"},
		{"the name does not resolve", Config{Brokers: []string{"kafka.invalid:9092"}}, "", fault.Transient, "does not resolve"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.c.Topic == "" {
				tt.c.Topic = "hostile"
			}
			err := connect(t, tt.c, tt.password).Write(t.Context(), sinktest.Batch(1))
			if err == nil || fault.Of(err) != tt.class || !strings.Contains(fault.Hint(err), tt.hint) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
	t.Run("an acknowledgement that is lost brings records twice, with equal ids and equal bytes", func(t *testing.T) {
		k.CreateTopic(t, "twice", 3)
		var lose atomic.Int32 // answers
		k.Interpose(t, func(servicetest.Written) servicetest.Fate {
			if lose.Add(-1) >= 0 {
				return servicetest.Lose
			}
			return servicetest.Pass
		})
		s := connect(t, Config{Brokers: []string{k.Interposed}, Topic: "twice"}, "")
		batch := sinktest.Batch(1200)
		again(t, s, batch[:100]) // leaders are known from here on
		for i := 100; i < len(batch); i += 100 {
			lose.Store(int32(i / 100 % 4)) // of the three partitions of a batch
			again(t, s, batch[i:i+100])
		}
		all, first := k.Records(t, "twice"), map[string]kafka.Message{}
		for _, m := range all {
			id := header(m, "ce_id")
			was, known := first[id]
			if !known {
				first[id] = m
			} else if !bytes.Equal(was.Value, m.Value) || !bytes.Equal(was.Key, m.Key) || !cmp.Equal(was.Headers, m.Headers) || was.Partition != m.Partition {
				t.Errorf("delivery %s came as\n%s\nand as\n%s", id, was.Value, m.Value)
			}
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(sinktest.IDs(batch))), slices.Sorted(maps.Keys(first))); diff != "" {
			t.Errorf("ids (-sent +arrived):\n%s", diff)
		}
		if len(all) <= len(first) {
			t.Errorf("%d records with %d ids: no acknowledgement was lost", len(all), len(first))
		}
		for key, ids := range byKey(t, k, "twice") { // in order but for what came twice
			if got, want := distinctIDs(ids), sentTo(batch, key); !slices.Equal(got, want) {
				t.Errorf("records of %s are out of order", key)
			}
		}
		t.Logf("%d records, %d of them twice", len(all), len(all)-len(first))
	})
	t.Run("a token that expires is replaced, and nothing is lost or refused", func(t *testing.T) {
		for name, x := range map[string]struct {
			life, said time.Duration
			login      func(*testing.T, *servicetest.TokenServer) *kafkalogin.SASL
			fails      bool // writes do, as the broker closes connections
		}{
			"in time":                               {time.Minute, 4 * time.Second, certificate, false},
			"when the broker closes the connection": {6 * time.Second, time.Hour, func(_ *testing.T, s *servicetest.TokenServer) *kafkalogin.SASL { return bearer(s) }, true},
		} {
			t.Run(name, func(t *testing.T) {
				topic := "tokens-" + x.said.String()
				k.CreateTopic(t, topic, 3)
				tokens := servicetest.Tokens(t)
				tokens.SetLife(x.life, x.said)
				s := connect(t, Config{Brokers: []string{k.TLS}, Topic: topic, TLS: trusted, SASL: x.login(t, tokens), Timeout: "1m"}, tokens.ClientSecret)
				batch, failed := sinktest.Batch(10_000), 0
				tick := time.NewTicker(50 * time.Millisecond)
				defer tick.Stop()
				sent := 0
				for ; tokens.Given() < 3 && sent < len(batch); sent += 10 {
					<-tick.C
					failed += again(t, s, batch[sent:sent+10])
				}
				if tokens.Given() < 3 || x.fails != (failed > 0) {
					t.Errorf("%d tokens were given, %d writes failed", tokens.Given(), failed)
				}
				want, got := sinktest.IDs(batch[:sent]), distinctIDs(arrived(t, k, topic))
				slices.Sort(want)
				slices.Sort(got)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("ids (-sent +arrived):\n%s", diff)
				}
				for key, ids := range byKey(t, k, topic) {
					if got, want := distinctIDs(ids), sentTo(batch[:sent], key); !slices.Equal(got, want) {
						t.Errorf("records of %s are out of order", key)
					}
				}
				t.Logf("%d records with %d tokens, %d writes failed", sent, tokens.Given(), failed)
			})
		}
	})
	t.Run("a token that is refused pauses the sink, and is not shown", func(t *testing.T) {
		tokens := servicetest.Tokens(t)
		c := Config{Brokers: []string{k.TLS}, Topic: "hostile", TLS: trusted, SASL: bearer(tokens)}
		for secret, text := range map[string]string{tokens.ClientSecret: "does not take the token: invalid_token", "hunter2-hunter2": "invalid_client: AADSTS7000215"} {
			tokens.SetLife(-time.Hour, time.Hour)
			err := connect(t, c, secret).Write(t.Context(), sinktest.Batch(2))
			said := fmt.Sprint(err, fault.Hint(err))
			if fault.Of(err) != fault.Auth || !strings.Contains(said, text) || strings.Contains(said, "eyJ") || strings.Contains(said, "hunter2") || fault.Hint(err) == "" {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		}
		s := connect(t, c, tokens.ClientSecret)
		if err := s.Write(t.Context(), sinktest.Batch(2)); fault.Of(err) != fault.Auth {
			t.Fatalf("refused: %v", err)
		}
		tokens.SetLife(time.Hour, time.Hour)
		again(t, s, sinktest.Batch(2)) // once the broker takes its tokens
	})
	t.Run("a broker that is killed and restarted in the middle loses nothing", func(t *testing.T) {
		k.CreateTopic(t, "killed", 3)
		s := connect(t, Config{Brokers: []string{k.TLS}, Topic: "killed", TLS: trusted, SASL: login(kafkalogin.SHA512), Timeout: "2s"}, k.Password)
		batch := sinktest.Batch(1200)
		for i := 0; i < len(batch); i += 100 {
			if i == 400 || i == 900 {
				k.Kill(t)
				if err := s.Write(t.Context(), batch[i:i+100]); err == nil || fault.Of(err) != fault.Transient {
					t.Fatalf("a dead broker: %v", err)
				}
				k.Restart(t)
			}
			again(t, s, batch[i:i+100])
		}
		want, got := sinktest.IDs(batch), distinctIDs(arrived(t, k, "killed"))
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ids (-sent +arrived):\n%s", diff)
		}
	})
}

// bearer logs in with a token.
func bearer(tokens *servicetest.TokenServer) *kafkalogin.SASL {
	return &kafkalogin.SASL{Mechanism: kafkalogin.Bearer, ClientID: tokens.ClientID, ClientSecret: secret.Env("P"), TokenURL: tokens.URL}
}

// certificate logs in with a token of Entra by a certificate.
func certificate(t *testing.T, tokens *servicetest.TokenServer) *kafkalogin.SASL {
	t.Helper()
	file := filepath.Join(t.TempDir(), "client.pem")
	tokens.Trust(t, servicetest.SelfSigned(t, file))
	return &kafkalogin.SASL{Mechanism: kafkalogin.Bearer, TenantID: tokens.TenantID, ClientID: tokens.ClientID, ClientCertificates: []entralogin.Certificate{{File: file}}, LoginURL: tokens.LoginURL, CAFile: tokens.CAFile}
}

// again writes until the broker has it, as the worker does, and returns how many writes
// failed before. Nothing may be refused.
func again(t *testing.T, s *Sink, batch []event.Alert) (failed int) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; failed++ {
		err := s.Write(t.Context(), batch)
		var rejected *deliver.Rejected
		switch {
		case err == nil:
			return failed
		case fault.Of(err) == fault.Auth, fault.Of(err) == fault.Permanent:
			t.Fatalf("refused: %v", err)
		case errors.As(err, &rejected):
			if len(rejected.Items) > 0 {
				t.Fatalf("refused: %+v", rejected.Items)
			}
			var rest []event.Alert
			for _, i := range rejected.Retry {
				rest = append(rest, batch[i])
			}
			batch = rest
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// arrived are the delivery ids of a topic, header and body alike.
func arrived(t *testing.T, k *servicetest.KafkaServer, topic string) (ids []string) {
	t.Helper()
	for _, m := range k.Records(t, topic) {
		var body struct {
			AppGov struct {
				AlertID    string `json:"alert_id"`
				DeliveryID string `json:"delivery_id"`
			} `json:"appgov"`
		}
		if err := json.Unmarshal(m.Value, &body); err != nil {
			t.Fatal(err)
		}
		if id := header(m, "ce_id"); id != body.AppGov.DeliveryID || header(m, "alert_id") != body.AppGov.AlertID {
			t.Errorf("header %s, body %s", id, body.AppGov.DeliveryID)
		}
		ids = append(ids, body.AppGov.DeliveryID)
	}
	return ids
}

func byKey(t *testing.T, k *servicetest.KafkaServer, topic string) map[string][]string {
	t.Helper()
	got := map[string][]string{}
	for _, m := range k.Records(t, topic) {
		got[string(m.Key)] = append(got[string(m.Key)], header(m, "ce_id"))
	}
	return got
}

// sentTo are the delivery ids of the alerts with a key, as they were sent.
func sentTo(batch []event.Alert, key string) (ids []string) {
	for _, a := range batch {
		if a.Tenant+"/"+a.App.Key() == key {
			ids = append(ids, a.DeliveryID.String())
		}
	}
	return ids
}

func distinctIDs(ids []string) (first []string) {
	seen := map[string]bool{}
	for _, id := range ids {
		if !seen[id] {
			seen[id], first = true, append(first, id)
		}
	}
	return first
}

// oneBatch hands out one batch and ends the worker when it is settled.
type oneBatch struct {
	batch []event.Alert
	stop  context.CancelFunc
	n     event.Settled
	dead  []event.DeadLetter
}

func (r *oneBatch) Next(ctx context.Context, _ int) ([]event.Alert, event.Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, event.Position{}, err
	}
	return r.batch, event.Position{LSN: 2}, nil
}

func (r *oneBatch) Again() bool { return false }

func (r *oneBatch) More() bool { return false }

func (r *oneBatch) Ack(_ event.Position, n event.Settled) error {
	r.n = n
	r.stop()
	return nil
}

func (r *oneBatch) PutDeadLetter(d event.DeadLetter) error {
	r.dead = append(r.dead, d)
	return nil
}

// deliverAll lets the worker deliver batch, and returns how many the sink took
// and the dead letters.
func deliverAll(t *testing.T, s *Sink, batch []event.Alert) (uint64, []event.DeadLetter) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	r := &oneBatch{batch: batch, stop: stop}
	if err := deliver.New(deliver.Options{Name: "kafka/soc", Sink: s, Reader: r, DeadLetters: r}).Run(ctx); err != nil {
		t.Fatal(err)
	}
	return r.n.Accepted, r.dead
}
