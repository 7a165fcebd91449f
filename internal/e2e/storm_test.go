package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// onCall is the sink of the people who are told.
const onCall = `
sink "webhook" "on-call" {
  url    = %q
  format = "json"
  proxy  = "none"
  tls {
    ca_file = %q
  }
}
`

// stormRoutes: everything to the servers, and few notices to people.
const stormRoutes = onCall + `
route {
  name     = "everything"
  sinks    = ["kafka/soc", "elasticsearch/soc"]
  continue = true
}
route {
  name           = "on-call"
  kinds          = ["detection"]
  sinks          = ["webhook/on-call"]
  group_by       = ["rule_id"]
  group_wait     = "15s"
  group_interval = "60s"
  rate {
    max = 3
    per = "10m"
  }
}
`

// notice is what people are told of a group.
type notice struct {
	Title string `json:"title"`
	Count int    `json:"count"`
	Group struct {
		Total int `json:"total"`
	} `json:"group"`
}

// pager keeps what people are told.
type pager struct {
	mu  sync.Mutex
	got []notice
}

func (p *pager) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var n notice
	err := json.NewDecoder(r.Body).Decode(&n)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		n.Title = err.Error()
	}
	p.got = append(p.got, n)
	w.WriteHeader(http.StatusNoContent)
}

func (p *pager) told() []notice {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]notice{}, p.got...)
}

// 50,000 alerts of one rule, of records of one minute: Kafka and Elasticsearch have all of them, each once, and people are
// told by at most three notices, of which the last one says how many.
func storm(t *testing.T, k *servicetest.KafkaServer, e *servicetest.ElasticsearchServer) {
	const n, topic = 50_000, "storm"
	k.CreateTopic(t, topic, 3)
	people := &pager{}
	srv := httptest.NewTLSServer(people)
	t.Cleanup(srv.Close)
	elasticSink := elasticAt(t, e, e.URL, e.CAFile, "storm")
	receivers := []receiver{
		{name: "kafka", block: fmt.Sprintf("\nsink \"kafka\" \"soc\" {\n  brokers = [%q]\n  topic = %q\n  format = \"json\"\n}\n", k.Plain, topic), got: recordsOf(k, topic)}, elasticSink,
	}
	d := filesDaemon(t, n, receivers, fmt.Sprintf(stormRoutes, srv.URL, sinktest.Authority(t, srv)), nil)
	began := time.Now()
	d.start(t)
	d.settled(t, n)
	t.Logf("%d alerts left within %s of the start", n, time.Since(began).Round(time.Second))
	why := ""
	d.until(t, 10*time.Minute, "people are told of all", &why, func() bool {
		all := people.told()
		why = fmt.Sprintf("%+v", all)
		return len(all) > 0 && all[len(all)-1].Group.Total >= n
	})
	all := people.told()
	last := all[len(all)-1]
	if len(all) > 3 || last.Group.Total != n || last.Count != n {
		t.Errorf("%d notices: %+v", len(all), all)
	}
	t.Logf("people were told %d times: %q", len(all), last.Title)
	for _, r := range receivers {
		arrived(t, r, n, func(string) bool { return true })
	}
	d.stop()
}
