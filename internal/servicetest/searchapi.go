package servicetest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

const (
	// searchPage is how many hits one request of Search fetches.
	searchPage = 5_000
	// searchCall bounds one request of a helper.
	searchCall = 30 * time.Second
)

// searchAPI is what Elasticsearch and OpenSearch have in common: calls by an administrator and the reading back of
// documents. Its fields and methods are promoted to the exported servers.
type searchAPI struct {
	// URL is the node's address without a path.
	URL string
	// User and Password are a superuser's; empty where the node has no security.
	User, Password string

	client *http.Client
}

// Hit is one document of a search.
type Hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// build is the cached folder of a search server by name and major version, and the home of a Java that runs it; the
// test ends here when either is missing.
func build(t testing.TB, name string, major int) (folder, java string) {
	t.Helper()
	switch server := fmt.Sprint(name, " ", major); server {
	case "elasticsearch 8":
		return cached(t, "elasticsearch"), javaHome(t, server, 17)
	case "elasticsearch 9":
		return cached(t, "elasticsearch9"), javaHome(t, server, 21)
	case "opensearch 2":
		return cached(t, "opensearch"), javaHome(t, server, 17)
	case "opensearch 3":
		return cached(t, "opensearch3"), javaHome(t, server, 21)
	default:
		t.Fatalf("make services installs no %s", server)
		return "", ""
	}
}

// searchClient trusts the authority; without one it is for a node that speaks no TLS.
func searchClient(t testing.TB, caFile string) *http.Client {
	t.Helper()
	pool := x509.NewCertPool()
	if caFile != "" {
		ca, err := os.ReadFile(caFile)
		if err != nil {
			t.Fatalf("read authority: %v", err)
		}
		pool.AppendCertsFromPEM(ca)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: searchCall}
}

// answers tells whether the node takes searches, which it does once its cluster state has recovered.
func (a *searchAPI) answers(ctx context.Context) error {
	_, err := a.do(ctx, http.MethodGet, "/_search?size=0", "")
	return err
}

// do sends one request as the superuser and returns the body of a 2xx answer.
func (a *searchAPI) do(ctx context.Context, method, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	if a.User != "" {
		request.SetBasicAuth(a.User, a.Password)
	}
	request.Header.Set("Content-Type", "application/json")
	answer, err := a.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, bytes.TrimSpace(content))
	}
	return content, nil
}

// Do sends one request as the superuser, path with a leading slash and body as JSON or empty, and returns the answer's
// body; an answer that is not 2xx ends the test.
func (a *searchAPI) Do(t testing.TB, method, path, body string) []byte {
	t.Helper()
	content, err := a.do(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("call the node: %v", err)
	}
	return content
}

// Refresh makes everything that was written to an index or data stream visible to Search.
func (a *searchAPI) Refresh(t testing.TB, index string) {
	t.Helper()
	a.Do(t, http.MethodPost, "/"+url.PathEscape(index)+"/_refresh", "")
}

// Search returns every hit, however many. The body is the request's JSON, for example {"_source": ["event.id"]};
// empty means all documents whole.
func (a *searchAPI) Search(t testing.TB, index, body string) []Hit {
	t.Helper()
	path := fmt.Sprintf("/%s/_search?scroll=1m&size=%d", url.PathEscape(index), searchPage)
	var all []Hit
	for {
		var page struct {
			ScrollID string `json:"_scroll_id"`
			Hits     struct {
				Hits []Hit `json:"hits"`
			} `json:"hits"`
		}
		if err := json.Unmarshal(a.Do(t, http.MethodPost, path, body), &page); err != nil {
			t.Fatalf("decode search: %v", err)
		}
		if len(page.Hits.Hits) == 0 {
			return all
		}
		all = append(all, page.Hits.Hits...)
		path, body = "/_search/scroll", fmt.Sprintf(`{"scroll": "1m", "scroll_id": %q}`, page.ScrollID)
	}
}
