package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/servicetest"
)

// ruleID is the rule that alerts once on each record.
const ruleID = "e2e.every"

// delivery is one alert as a receiver has it.
type delivery struct {
	AlertID    string `json:"alert_id"`
	DeliveryID string `json:"delivery_id"`
	RuleID     string `json:"rule_id"`
	State      string `json:"state"`
	Evidence   []struct {
		UpstreamID string `json:"upstream_id"`
	} `json:"evidence"`
	document []byte // as it came, where that is JSON of ours
}

// receiver is a real server behind a sink: block is the sink's configuration,
// got everything that has arrived, in whatever order and however often.
type receiver struct {
	name  string
	block string
	got   func(t *testing.T) []delivery
	setup func(t *testing.T, d *daemon) // before the daemon starts; may be nil
}

const topic = "appgov.alerts"

// via is the address of a proxy in front of upstream, which listens there or,
// empty, anywhere. No via means no proxy.
type via func(upstream, listen string) string

func (v via) of(upstream string) string {
	if v == nil {
		return upstream
	}
	return v(upstream, "")
}

func kafkaReceiver(t *testing.T, v via) receiver {
	k := servicetest.Kafka(t)
	broker := k.TLS
	if v != nil {
		broker = v(k.Behind, k.Proxy)
	}
	k.CreateTopic(t, topic, 3)
	t.Setenv("APPGOV_E2E_KAFKA", k.Password)
	return receiver{name: "kafka", block: fmt.Sprintf(`
sink "kafka" "soc" {
  brokers = [%q]
  topic   = %q
  format  = "json"
  tls {
    ca_file = %q
  }
  sasl {
    mechanism = "SCRAM-SHA-512"
    username  = %q
    password  = env("APPGOV_E2E_KAFKA")
  }
}
`, broker, topic, k.CAFile, k.User), got: recordsOf(k, topic)}
}

// recordsOf reads what the broker has of a topic.
func recordsOf(k *servicetest.KafkaServer, topic string) func(*testing.T) []delivery {
	return func(t *testing.T) (all []delivery) {
		for _, m := range k.Records(t, topic) {
			all = append(all, decode(t, m.Value))
		}
		return all
	}
}

func elasticReceiver(t *testing.T, v via) receiver {
	e := servicetest.Elasticsearch(t)
	return elasticAt(t, e, "https://"+v.of(strings.TrimPrefix(e.URL, "https://")), e.CAFile, "default")
}

// elasticAt is a node that is reached at url, which the authority in the file ca vouches for.
func elasticAt(t *testing.T, e *servicetest.ElasticsearchServer, url, ca, namespace string) receiver {
	stream := "logs-appgov.alerts-" + namespace
	t.Setenv("APPGOV_E2E_ELASTIC", e.WriterPassword)
	return receiver{name: "elasticsearch", block: fmt.Sprintf(`
sink "elasticsearch" "soc" {
  addresses = [%q]
  namespace = %q
  username  = %q
  password  = env("APPGOV_E2E_ELASTIC")
  tls {
    ca_file = %q
  }
}
`, url, namespace, e.WriterUser, ca), got: func(t *testing.T) (all []delivery) {
		e.Refresh(t, stream)
		for _, h := range e.Search(t, stream, `{"_source": ["rule.id", "appgov.alert_id", "appgov.delivery_id", "appgov.evidence.upstream_id"]}`) {
			var doc struct {
				Rule struct {
					ID string `json:"id"`
				} `json:"rule"`
				Appgov delivery `json:"appgov"`
			}
			if err := json.Unmarshal(h.Source, &doc); err != nil {
				t.Fatal(err)
			}
			if h.ID != doc.Appgov.DeliveryID {
				t.Errorf("document %s holds delivery %s", h.ID, doc.Appgov.DeliveryID)
			}
			doc.Appgov.RuleID = doc.Rule.ID
			all = append(all, doc.Appgov)
		}
		return all
	}, setup: func(t *testing.T, d *daemon) {
		e.Do(t, "PUT", "/_index_template/logs-appgov", e.Adapt(d.command(t, "setup", "elasticsearch", "--print", d.path("agent.hcl"))))
	}}
}

func syslogReceiver(t *testing.T, v via) receiver {
	r := servicetest.Rsyslog(t, servicetest.SyslogOptions{ClientAuth: true})
	return receiver{name: "syslog", block: fmt.Sprintf(`
sink "syslog" "soc" {
  address  = %q
  protocol = "tls"
  format   = "json"
  tls {
    ca_file   = %q
    cert_file = %q
    key_file  = %q
  }
}
`, v.of(r.TLS), r.CAFile, r.ClientCert, r.ClientKey), got: func(t *testing.T) (all []delivery) {
		for _, m := range r.Messages(t) {
			all = append(all, decode(t, []byte(m.Msg)))
		}
		return all
	}}
}

// fileReceiver needs no server. A line that a kill cut off is not counted: the
// sink wrote it again.
func fileReceiver(path string) receiver {
	return receiver{name: "file", block: fmt.Sprintf("\nsink \"file\" \"soc\" {\n  path   = %q\n  format = \"json\"\n}\n", path), got: func(t *testing.T) (all []delivery) {
		f, err := os.Open(path)
		if err != nil {
			return nil
		}
		defer func() { _ = f.Close() }()
		for s := bufio.NewScanner(f); s.Scan(); {
			d := delivery{document: bytes.Clone(s.Bytes())}
			if json.Unmarshal(s.Bytes(), &d) == nil {
				all = append(all, d)
			}
		}
		return all
	}}
}

func decode(t *testing.T, b []byte) (d delivery) {
	t.Helper()
	d.document = b
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatalf("a record that is no JSON: %v: %.200q", err, b)
	}
	return d
}

// tally compares what a receiver got with the records that must be there. It
// returns the alert id of each record, for comparison between receivers.
func tally(t *testing.T, r receiver, want map[string]bool) map[string]string {
	t.Helper()
	type told struct{ alert, delivery string }
	seen := map[string]told{}
	spurious, forked, twice := 0, 0, 0
	for _, d := range r.got(t) {
		if d.RuleID != ruleID {
			continue
		}
		for _, e := range d.Evidence {
			was, known := seen[e.UpstreamID]
			switch {
			case !want[e.UpstreamID]:
				spurious++
				t.Errorf("%s: an alert for a record that was never issued: %s", r.name, e.UpstreamID)
			case known && was != (told{d.AlertID, d.DeliveryID}):
				forked++
				t.Errorf("%s: record %s came as %v and as %s %s", r.name, e.UpstreamID, was, d.AlertID, d.DeliveryID)
			case known:
				twice++
			}
			seen[e.UpstreamID] = told{d.AlertID, d.DeliveryID}
		}
	}
	missing := 0
	ids := make(map[string]string, len(seen))
	for id := range want {
		if _, ok := seen[id]; !ok {
			if missing++; missing <= 10 {
				t.Errorf("%s: no alert for record %s", r.name, id)
			}
		}
		ids[id] = seen[id].alert
	}
	t.Logf("%s: %d records, missing %d, spurious %d, with two ids %d, again with equal ids %d", r.name, len(want), missing, spurious, forked, twice)
	return ids
}
