package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/appgovd/appgovd/internal/format"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sink/elastic"
)

// perBulk is how many alerts the worker gives a sink at once.
const perBulk = 500

// toElastic: a loop that posts the same batches, encoded before, is the measure.
func toElastic(t *program, dir string, turns int) error {
	const frames = 10
	s, err := newStore(dir, frames)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	e := servicetest.Elasticsearch(t)
	e.Do(t, http.MethodPut, "/_index_template/"+elastic.TemplateName, e.Adapt(elastic.Config{}.Template()))
	encode := format.ECS("bench", time.Now, nil)
	fmt.Printf("\nledger to Elasticsearch: %d alerts of %d bytes, %d to a request; the bare loader posts the same requests, encoded before\n", s.alerts, s.size(encode), perBulk)
	bodies, err := s.bulks(encode)
	if err != nil {
		return err
	}
	own := func(turn int) (float64, error) {
		sink, err := elastic.New(elastic.Config{
			Addresses: []string{e.URL}, Namespace: fmt.Sprintf("own%d", turn), Username: e.User, Password: secret.Env("P"), Proxy: "none", TLS: &elastic.TLS{CAFile: e.CAFile},
		}, elastic.Options{Secret: func(secret.Ref) (func() (string, error), error) {
			return func() (string, error) { return e.Password, nil }, nil
		}})
		if err != nil {
			return 0, err
		}
		return s.deliver(sink)
	}
	ca, err := os.ReadFile(e.CAFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	bare := func(turn int) (float64, error) {
		begin := time.Now()
		for _, b := range bodies {
			if err := postBulk(client, e, fmt.Sprintf("%s/logs-appgov.alerts-bare%d/_bulk", e.URL, turn), b); err != nil {
				return 0, err
			}
		}
		return float64(s.alerts) / time.Since(begin).Seconds(), nil
	}
	speeds, err := compete(turns, contender{"appgovd", own}, contender{"bare bulk loader", bare})
	if err != nil {
		return err
	}
	faster("ledger to Elasticsearch, appgovd / bare bulk loader", speeds[0], speeds[1], "at least 0.8")
	return nil
}

// bulks are the requests that the sink makes of all alerts.
func (s *store) bulks(encode format.Encoder) (bodies [][]byte, err error) {
	s.cursors++
	r, err := s.Reader(fmt.Sprintf("bench/%d", s.cursors), ledger.ReaderOptions{FromStart: true})
	for n := 0; err == nil && n < s.alerts; {
		batch, _, nextErr := r.Next(context.Background(), perBulk)
		err = nextErr
		var b []byte
		for i := range batch {
			b = append(encode(fmt.Appendf(b, "{\"create\":{\"_id\":%q}}\n", batch[i].DeliveryID), &batch[i]), '\n')
		}
		bodies, n = append(bodies, b), n+len(batch)
	}
	return bodies, err
}

func postBulk(client *http.Client, e *servicetest.ElasticsearchServer, url string, body []byte) error {
	r, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.SetBasicAuth(e.User, e.Password)
	r.Header.Set("Content-Type", "application/x-ndjson")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	var verdict struct {
		Errors bool `json:"errors"`
	}
	if err := json.Unmarshal(text, &verdict); err != nil || verdict.Errors || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.300s", answer.Status, text)
	}
	return nil
}
