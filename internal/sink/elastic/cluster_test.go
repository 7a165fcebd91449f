package elastic

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// A cluster of two real nodes of which one is killed between two batches: the
// other takes what the sink goes on to write.
func TestRealElasticsearchLosesANode(t *testing.T) {
	first, second := servicetest.ElasticsearchPair(t, 8)
	c := Config{Addresses: []string{second.URL, first.URL}, Username: first.WriterUser, Password: secret.Env("P"), Proxy: "none", TLS: &TLS{CAFile: first.CAFile}}
	s, err := New(c, Options{Secret: literal(first.WriterPassword)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	first.Do(t, "PUT", "/_index_template/"+TemplateName, first.Adapt(c.Template()))

	batch := sinktest.Batch(200)
	const part = 10
	for at := 0; at < len(batch); at += part {
		if at == 10*part {
			first.Do(t, "GET", "/_cluster/health/"+s.stream+"?wait_for_status=green&timeout=60s", "") // both nodes hold it
			second.Kill(t)
		}
		deliverAll(t, s, batch[at:at+part])
	}
	if diff := cmp.Diff(sorted(sinktest.IDs(batch)), stored(t, first, s.stream, "")); diff != "" {
		t.Errorf("documents (-sent +stored):\n%s", diff)
	}
}

// deliverAll writes as the worker does, without its pauses: what is to be tried
// again is tried again. Nothing of it may be refused.
func deliverAll(t *testing.T, s *Sink, batch []event.Alert) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(batch) > 0; {
		err := s.Write(t.Context(), batch)
		var r *deliver.Rejected
		switch {
		case err == nil:
			return
		case errors.As(err, &r) && len(r.Items) == 0:
			left := make([]event.Alert, 0, len(r.Retry))
			for _, i := range r.Retry {
				left = append(left, batch[i])
			}
			batch = left
		case r != nil || fault.Of(err) != fault.Transient || time.Now().After(end):
			t.Fatal(fmt.Errorf("write: %w", err))
		}
	}
}
