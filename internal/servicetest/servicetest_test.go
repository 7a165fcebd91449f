package servicetest_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"github.com/appgovd/appgovd/internal/servicetest"
)

func TestKafka(t *testing.T) {
	k := servicetest.Kafka(t)
	k.CreateTopic(t, "alerts", 3)

	for name, mechanism := range mechanisms(t, k) {
		t.Run("a writer logs in over TLS with "+name, func(t *testing.T) {
			if err := write(t, k, "alerts", mechanism, name); err != nil {
				t.Fatalf("write: %v", err)
			}
		})
	}
	t.Run("a wrong password is refused", func(t *testing.T) {
		if err := write(t, k, "alerts", plain.Mechanism{Username: k.User, Password: "wrong"}, "refused"); err == nil {
			t.Error("the broker took a wrong password")
		}
	})
	t.Run("what was acknowledged survives a kill", func(t *testing.T) {
		k.Kill(t)
		if conn, err := net.Dial("tcp", k.Plain); err == nil {
			_ = conn.Close()
			t.Error("a killed broker takes connections")
		}
		k.Restart(t)
		var got []string
		for _, record := range k.Records(t, "alerts") {
			got = append(got, string(record.Value))
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"PLAIN", "SCRAM-SHA-512"}, got); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
	t.Run("a token lets in until it expires, and then the connection is closed", func(t *testing.T) {
		conn, err := tokenConn(t, k, 5*time.Second)
		if err != nil {
			t.Fatalf("log in: %v", err)
		}
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		asked := 0
		for limit := time.Now().Add(time.Minute); err == nil && time.Now().Before(limit); asked++ {
			<-tick.C
			_, err = conn.Brokers()
		}
		if err == nil || asked < 2 {
			t.Errorf("%d requests, then %v", asked, err)
		}
		if _, err := tokenConn(t, k, -time.Second); err == nil {
			t.Error("the broker took a token that has expired")
		}
	})
}

// bearer is OAUTHBEARER with one token.
type bearer string

func (bearer) Name() string { return "OAUTHBEARER" }

func (b bearer) Start(context.Context) (sasl.StateMachine, []byte, error) {
	return b, []byte("n,,\x01auth=Bearer " + string(b) + "\x01\x01"), nil
}

func (bearer) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) > 0 {
		return false, nil, errors.New(string(challenge))
	}
	return true, nil, nil
}

// tokenConn logs in with a token that lives so long.
func tokenConn(t *testing.T, k *servicetest.KafkaServer, life time.Duration) (*kafka.Conn, error) {
	t.Helper()
	d := kafka.Dialer{TLS: tlsConfig(t, k.CAFile), SASLMechanism: bearer(servicetest.UnsignedToken(life))}
	conn, err := d.DialContext(t.Context(), "tcp", k.TLS)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close() })
	}
	return conn, err
}

func mechanisms(t *testing.T, k *servicetest.KafkaServer) map[string]sasl.Mechanism {
	t.Helper()
	sha512, err := scram.Mechanism(scram.SHA512, k.User, k.Password)
	if err != nil {
		t.Fatalf("make SCRAM: %v", err)
	}
	return map[string]sasl.Mechanism{
		"SCRAM-SHA-512": sha512,
		"PLAIN":         plain.Mechanism{Username: k.User, Password: k.Password},
	}
}

func write(t *testing.T, k *servicetest.KafkaServer, topic string, mechanism sasl.Mechanism, value string) error {
	t.Helper()
	transport := &kafka.Transport{TLS: tlsConfig(t, k.CAFile), SASL: mechanism}
	defer transport.CloseIdleConnections()
	w := &kafka.Writer{Addr: kafka.TCP(k.TLS), Topic: topic, RequiredAcks: kafka.RequireAll, MaxAttempts: 1, BatchSize: 1, Transport: transport}
	defer func() { _ = w.Close() }()
	return w.WriteMessages(t.Context(), kafka.Message{Value: []byte(value)})
}

func tlsConfig(t *testing.T, caFile string) *tls.Config {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		t.Fatal("the CA file holds no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func TestElasticsearch(t *testing.T) {
	e := servicetest.Elasticsearch(t)
	e.Do(t, http.MethodPut, "/_index_template/appgov", `{"index_patterns": ["logs-appgov.*-*"], "priority": 501, "data_stream": {}}`)
	const stream = "logs-appgov.alerts-default"

	t.Run("the writer creates a document once", func(t *testing.T) {
		basic := func(r *http.Request) { r.SetBasicAuth(e.WriterUser, e.WriterPassword) }
		for _, want := range []string{`"status":201`, `"status":409`} {
			if got := bulk(t, e, stream, "by-writer", basic); !strings.Contains(got, want) {
				t.Errorf("bulk answered %s, want %s", got, want)
			}
		}
		if got := bulk(t, e, "elsewhere", "by-writer", basic); !strings.Contains(got, `"status":403`) {
			t.Errorf("bulk to a foreign index answered %s, want 403", got)
		}
	})
	t.Run("a service token creates a document", func(t *testing.T) {
		bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+e.ServiceToken) }
		if got := bulk(t, e, stream, "by-token", bearer); !strings.Contains(got, `"status":201`) {
			t.Errorf("bulk answered %s, want 201", got)
		}
	})
	t.Run("a search after a refresh finds both", func(t *testing.T) {
		e.Refresh(t, stream)
		var got []string
		for _, hit := range e.Search(t, stream, "") {
			got = append(got, hit.ID)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"by-token", "by-writer"}, got); diff != "" {
			t.Errorf("documents (-want +got):\n%s", diff)
		}
	})
}

func TestOpenSearch(t *testing.T) {
	o := servicetest.OpenSearch(t, 2)
	const stream = "logs-appgov.alerts-default"
	if got := string(o.Do(t, http.MethodGet, "/", "")); !strings.Contains(got, `"distribution" : "opensearch"`) || !strings.Contains(got, `"number" : "2.`) {
		t.Errorf("the node says %s", got)
	}
	o.Do(t, http.MethodPut, "/_index_template/appgov", `{"index_patterns": ["logs-appgov.*-*"], "priority": 501, "data_stream": {}}`)
	o.Do(t, http.MethodPut, "/"+stream+"/_create/kept", `{"@timestamp": "2026-01-02T03:04:05Z"}`)
	o.Kill(t)
	o.Restart(t)
	o.Refresh(t, stream)
	if hits := o.Search(t, stream, ""); len(hits) != 1 || hits[0].ID != "kept" {
		t.Errorf("after a kill it holds %v", hits)
	}
}

// bulk creates one document and returns the answer's body; the answer's own status must be 200.
func bulk(t *testing.T, e *servicetest.ElasticsearchServer, index, id string, authorize func(*http.Request)) string {
	t.Helper()
	body := fmt.Sprintf("{\"create\":{\"_id\":%q}}\n{\"@timestamp\":\"2026-01-02T03:04:05Z\"}\n", id)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+"/"+index+"/_bulk", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-ndjson")
	authorize(request)
	transport := &http.Transport{TLSClientConfig: tlsConfig(t, e.CAFile)}
	defer transport.CloseIdleConnections()
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		t.Fatalf("send bulk: %v", err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("bulk: %s %v: %s", answer.Status, err, content)
	}
	return string(content)
}

func TestRsyslog(t *testing.T) {
	r := servicetest.Rsyslog(t, servicetest.SyslogOptions{})
	const line = `<134>1 2026-01-02T03:04:05.678901Z host.example appgovd 42 ALERT [alert@32473 id="a\"b"] grant of "Mail.Read" – ü`

	want := map[string]func(*testing.T) (net.Conn, error){
		"udp": func(*testing.T) (net.Conn, error) { return net.Dial("udp", r.UDP) },
		"tcp": func(*testing.T) (net.Conn, error) { return net.Dial("tcp", r.TCP) },
		"tls": func(t *testing.T) (net.Conn, error) { return tls.Dial("tcp", r.TLS, tlsConfig(t, r.CAFile)) },
	}
	arrived := 0
	for input, dial := range want {
		t.Run("a message over "+input+" comes out as it was sent", func(t *testing.T) {
			conn, err := dial(t)
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			defer func() { _ = conn.Close() }()
			frame := line
			if input != "udp" {
				frame = fmt.Sprintf("%d %s", len(line), line)
			}
			if _, err := io.WriteString(conn, frame); err != nil {
				t.Fatalf("send: %v", err)
			}
			arrived++
			got := r.Await(t, arrived)[arrived-1]
			if diff := cmp.Diff(servicetest.SyslogMessage{
				Input: input, Pri: "134", Hostname: "host.example", App: "appgovd", ProcID: "42", MsgID: "ALERT",
				StructuredData: `[alert@32473 id="a\"b"]`, Msg: `grant of "Mail.Read" – ü`,
			}, got, cmpopts.IgnoreFields(servicetest.SyslogMessage{}, "Time")); diff != "" {
				t.Errorf("message (-want +got):\n%s", diff)
			}
			if !strings.HasPrefix(got.Time, "2026-01-02T03:04:05.678901") {
				t.Errorf("time is %s", got.Time)
			}
		})
	}
}

func TestRsyslogClientAuth(t *testing.T) {
	r := servicetest.Rsyslog(t, servicetest.SyslogOptions{ClientAuth: true})
	const line = `<134>1 2026-01-02T03:04:05Z host appgovd - - - with a certificate`
	pair, err := tls.LoadX509KeyPair(r.ClientCert, r.ClientKey)
	if err != nil {
		t.Fatalf("load client's pair: %v", err)
	}

	t.Run("a client without a certificate is refused", func(t *testing.T) {
		if err := exchange(r.TLS, tlsConfig(t, r.CAFile), line); err == nil {
			t.Error("the listener let it in")
		}
	})
	t.Run("a client with one is let in", func(t *testing.T) {
		config := tlsConfig(t, r.CAFile)
		config.Certificates = []tls.Certificate{pair}
		conn, err := tls.Dial("tcp", r.TLS, config)
		if err != nil {
			t.Fatalf("dial: %v", err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := fmt.Fprintf(conn, "%d %s", len(line), line); err != nil {
			t.Fatalf("send: %v", err)
		}
		if got := r.Await(t, 1)[0].Msg; got != "with a certificate" {
			t.Errorf("msg is %q", got)
		}
	})
}

// exchange sends one frame and reads until the server closes; with TLS 1.3 a refusal shows in the first read.
func exchange(address string, config *tls.Config, line string) error {
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "%d %s", len(line), line); err != nil {
		return err
	}
	_, err = io.ReadAll(conn)
	return err
}
