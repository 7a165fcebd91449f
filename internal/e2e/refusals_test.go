package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

const filesTenant = "00000000-0000-4000-8000-00000000e2e0"

// filesConfig is a daemon that reads records.json once and alerts on each of them.
const filesConfig = `
agent {
  state_dir        = %q
  tick             = "1s"
  log_level        = "warn"
  shutdown_timeout = "5s"
}
source "file" "e2e" {
  tenant_id = %q
  paths     = [%q]
  once      = true
}
rules = ["rules"]
`

// signInRecord is a record as Microsoft Graph gives it.
type signInRecord struct {
	ID        string         `json:"id"`
	Created   time.Time      `json:"createdDateTime"`
	AppID     string         `json:"appId"`
	App       string         `json:"appDisplayName"`
	UserID    string         `json:"userId"`
	User      string         `json:"userDisplayName"`
	IP        string         `json:"ipAddress"`
	UserAgent string         `json:"userAgent,omitempty"`
	Status    map[string]int `json:"status"`
}

// filesDaemon is a daemon on a file with n sign-ins of as many apps, each of which edit may change.
func filesDaemon(t *testing.T, n int, receivers []receiver, more string, edit func(i int, s *signInRecord)) *daemon {
	t.Helper()
	d := newDaemon(t)
	var b bytes.Buffer
	enc, at := json.NewEncoder(&b), time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
	for i := range n {
		s := signInRecord{
			ID: fmt.Sprintf("record-%05d", i), Created: at.Add(time.Duration(i) * time.Minute / time.Duration(n)), AppID: fmt.Sprintf("app-%05d", i), App: "An app", UserID: "u-1", User: "Alice",
			IP: "192.0.2.7", Status: map[string]int{"errorCode": 0},
		}
		if edit != nil {
			edit(i, &s)
		}
		if err := enc.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	d.write(t, "records.json", b.String())
	d.write(t, "rules/every.hcl", everyRule())
	text := fmt.Sprintf(filesConfig, d.state, filesTenant, d.path("records.json"))
	for _, r := range receivers {
		text += r.block
	}
	d.write(t, "agent.hcl", text+more)
	for _, r := range receivers {
		if r.setup != nil {
			r.setup(t, d)
		}
	}
	return d
}

// settled waits until n records are read and no alert waits for a sink.
func (d *daemon) settled(t *testing.T, n int) {
	t.Helper()
	why := ""
	d.until(t, 10*time.Minute, "every alert is settled", &why, func() bool {
		s, err := d.status(t.Context())
		if err != nil {
			why = err.Error()
			return false
		}
		why = fmt.Sprintf("%+v %+v", s.Sources, s.Ledger.Readers)
		for _, r := range s.Ledger.Readers {
			if r.Waiting > 0 {
				return false
			}
		}
		return len(s.Sources) == 1 && s.Sources[0].Account.New >= uint64(n)
	})
}

// What is shown with both servers, started once.
func TestRealSinks(t *testing.T) {
	k, e := servicetest.Kafka(t), servicetest.Elasticsearch(t)
	t.Run("a tenth is refused for good and a tenth once", func(t *testing.T) { refusals(t, k, e) })
	t.Run("a storm reaches Kafka and Elasticsearch whole, and people by few notices", func(t *testing.T) { storm(t, k, e) })
}

// Of 1,000 alerts a tenth is refused for good and another tenth once, each by itself, by a real Kafka and by a real
// Elasticsearch: 900 arrive, once each, 100 lie in the dead letter with the server's reason, and `deadletter retry`
// delivers them once the cause is mended.
func refusals(t *testing.T, k *servicetest.KafkaServer, e *servicetest.ElasticsearchServer) {
	const n, partitions, laterPartition = 1000, 10, 7
	hostile := strings.Repeat("\x01", 8<<10) // six bytes each in JSON
	poison, later := map[string]bool{}, map[string]bool{}
	next := 0
	app := func(wanted bool) string { // whose records go to the partition that is not there once, or to others
		for {
			next++
			id := fmt.Sprintf("app-%06d", next)
			if wanted == (partitionOf(filesTenant+"/"+id, partitions) == laterPartition) {
				return id
			}
		}
	}
	edit := func(i int, s *signInRecord) {
		s.AppID = app(i%10 == 7)
		switch i % 10 {
		case 3:
			s.App, s.User, s.UserAgent = hostile, hostile, hostile
			poison[s.ID] = true
		case 7:
			later[s.AppID] = true
		}
	}

	const topic = "refusals"
	k.CreateTopic(t, topic, partitions, "max.message.bytes=80000")
	once := newOnce()
	k.Interpose(t, func(w servicetest.Written) servicetest.Fate {
		if w.Partition == laterPartition && once.any("kafka", w.Keys) {
			return servicetest.Refuse
		}
		return servicetest.Pass
	})
	front := bulkFront(t, e, func(id string) bool { return later[id] && once.any("elasticsearch", []string{filesTenant + "/" + id}) })
	kafkaSink := receiver{name: "kafka", block: fmt.Sprintf("\nsink \"kafka\" \"soc\" {\n  brokers = [%q]\n  topic = %q\n  format = \"json\"\n  compression = \"none\"\n  max_message_bytes = 33554432\n}\n", k.Interposed, topic), got: recordsOf(k, topic)}
	elasticSink := elasticAt(t, e, front.URL, sinktest.Authority(t, front), "refusals")
	elasticSink.setup = func(t *testing.T, d *daemon) {
		template := e.Adapt(d.command(t, "setup", "elasticsearch", "--print", d.path("agent.hcl")))
		wrong := strings.Replace(template, `"user_agent": {"properties": {"original": {"type":"keyword","ignore_above":1024}}}`, `"user_agent": {"properties": {"original": {"type":"ip"}}}`, 1)
		if wrong == template {
			t.Fatalf("the template has no user_agent.original to be mapped otherwise: %s", template)
		}
		e.Do(t, "PUT", "/_index_template/logs-appgov", wrong)
	}
	receivers := []receiver{kafkaSink, elasticSink}
	d := filesDaemon(t, n, receivers, "", edit)
	d.start(t)
	d.settled(t, n)

	for _, r := range receivers {
		arrived(t, r, n, func(id string) bool { return !poison[id] })
		once.exactly(t, r.name, later)
	}
	reasons := map[string]string{"kafka/soc": "Message Size Too Large", "elasticsearch/soc": "user_agent.original"}
	for sink, reason := range reasons {
		d.buried(t, sink, reason, poison)
	}

	k.SetTopic(t, topic, "max.message.bytes", "1000000")
	e.Do(t, "PUT", "/logs-appgov.alerts-refusals/_mapping", `{"properties":{"user_agent":{"properties":{"original":{"type":"ip","ignore_malformed":true}}}}}`)
	for sink := range reasons {
		d.command(t, "deadletter", "retry", "--all", "--sink", sink, "--socket", d.state+"/admin.sock")
		d.buried(t, sink, "", nil)
	}
	for _, r := range receivers {
		arrived(t, r, n, func(string) bool { return true })
	}
	d.stop()
}

// partitionOf is where a client of Kafka in Java puts a key.
func partitionOf(key string, partitions int) int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	return kafka.Murmur2Balancer{Consistent: true}.Balance(kafka.Message{Key: []byte(key)}, all...)
}

// arrived checks that a receiver has the alerts of the records that are wanted, each once, and of no others.
func arrived(t *testing.T, r receiver, n int, wanted func(id string) bool) {
	t.Helper()
	var want, got []string
	for i := range n {
		if id := fmt.Sprintf("record-%05d", i); wanted(id) {
			want = append(want, id)
		}
	}
	deliveries := map[string]bool{}
	for _, x := range r.got(t) {
		if x.RuleID == ruleID {
			deliveries[x.DeliveryID] = true
			got = append(got, x.Evidence[0].UpstreamID)
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s: records (-want +arrived):\n%.2000s", r.name, diff)
	}
	if len(deliveries) != len(got) {
		t.Errorf("%s: %d alerts with %d delivery ids", r.name, len(got), len(deliveries))
	}
	t.Logf("%s: %d alerts, each once", r.name, len(got))
}

// buried checks that the dead letter of a sink holds the alerts of these records, each with a reason that names what it
// must.
func (d *daemon) buried(t *testing.T, sink, reason string, records map[string]bool) {
	t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(d.command(t, "deadletter", "list", "--sink", sink, "-o", "json", "--socket", d.state+"/admin.sock")) {
		var l event.DeadLetter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %.200s", err, line)
		}
		id := l.Alert.Evidence[0].UpstreamID
		if seen[id] || !records[id] {
			t.Errorf("%s: record %s is in the dead letter twice or should not be", sink, id)
		}
		seen[id] = true
		if !strings.Contains(l.Reason, reason) {
			t.Errorf("%s: reason %q, want %q in it", sink, l.Reason, reason)
		}
	}
	if len(seen) != len(records) {
		t.Errorf("%s: %d in the dead letter, want %d", sink, len(seen), len(records))
	}
}

// once remembers who was refused by whom.
type once struct {
	mu      sync.Mutex
	refused map[string]map[string]int // by server and key
}

func newOnce() *once {
	return &once{refused: map[string]map[string]int{"kafka": {}, "elasticsearch": {}}}
}

// any reports whether one of keys was not refused before, and counts a refusal of each of them then.
func (o *once) any(server string, keys []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := o.refused[server]
	if !slices.ContainsFunc(keys, func(k string) bool { return seen[k] == 0 }) {
		return false
	}
	for _, k := range keys {
		seen[k]++
	}
	return true
}

// exactly checks that each of apps was refused once, and nobody else.
func (o *once) exactly(t *testing.T, server string, apps map[string]bool) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	want := map[string]int{}
	for app := range apps {
		want[filesTenant+"/"+app] = 1
	}
	if diff := cmp.Diff(want, o.refused[server]); diff != "" {
		t.Errorf("refusals by %s for the moment (-want +got):\n%.2000s", server, diff)
	}
}

// bulkFront stands before the node and answers single documents in its place, by their app: no room now. The others go on
// to the node.
func bulkFront(t *testing.T, e *servicetest.ElasticsearchServer, refuse func(app string) bool) *httptest.Server {
	t.Helper()
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		items, err := readBulk(r)
		if err != nil {
			t.Error(err)
			return
		}
		var rest bytes.Buffer
		for i := range items {
			if items[i].refused = refuse(items[i].app); !items[i].refused {
				rest.WriteString(items[i].lines)
			}
		}
		var verdicts []json.RawMessage
		if rest.Len() > 0 {
			if verdicts, err = forward(transport, e.URL, r, &rest); err != nil {
				t.Error(err)
				return
			}
		}
		all := make([]json.RawMessage, 0, len(items))
		for _, x := range items {
			if x.refused {
				all = append(all, json.RawMessage(fmt.Sprintf(`{"create":{"_id":%q,"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected execution of primary operation"}}}`, x.id)))
			} else {
				all, verdicts = append(all, verdicts[0]), verdicts[1:]
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"errors": true, "items": all})
	}))
	t.Cleanup(srv.Close)
	return srv
}

// bulkItem is one document of a bulk request.
type bulkItem struct {
	id, app, lines string
	refused        bool
}

func readBulk(r *http.Request) (items []bulkItem, err error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return nil, err
		}
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return nil, err
	}
	lines := slices.Collect(strings.Lines(string(all)))
	for pair := range slices.Chunk(lines, 2) {
		var action struct {
			Create struct {
				ID string `json:"_id"`
			} `json:"create"`
		}
		var document struct {
			Appgov struct {
				App struct {
					AppID string `json:"app_id"`
				} `json:"app"`
			} `json:"appgov"`
		}
		if err := json.Unmarshal([]byte(pair[0]), &action); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(pair[1]), &document); err != nil {
			return nil, err
		}
		items = append(items, bulkItem{id: action.Create.ID, app: document.Appgov.App.AppID, lines: pair[0] + pair[1]})
	}
	return items, nil
}

// forward sends what is left of a bulk request to the node, and returns its verdicts.
func forward(transport http.RoundTripper, to string, r *http.Request, body io.Reader) ([]json.RawMessage, error) {
	next, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.RequestURI(), body)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"Authorization", "Content-Type", "Accept"} {
		next.Header[name] = r.Header[name]
	}
	answer, err := transport.RoundTrip(next)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	var bulk struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&bulk); err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %w", answer.Status, err)
	}
	return bulk.Items, nil
}
