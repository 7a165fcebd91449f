package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/appgovd/appgovd/internal/outbound"
)

// Probe asks who we are; found is the answer. A cluster without security knows nobody.
func (s *Sink) Probe(ctx context.Context) (found string, err error) {
	if s.server.name == openSearch {
		return s.probeOpenSearch(ctx)
	}
	return s.probeElasticsearch(ctx)
}

// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-security-authenticate
func (s *Sink) probeElasticsearch(ctx context.Context) (found string, err error) {
	status, answer, err := s.do(ctx, "reach", func(ctx context.Context, h http.Header) (*esapi.Response, error) {
		return esapi.SecurityAuthenticateRequest{Header: h}.Do(ctx, s.transport)
	})
	if noSuchCall(status) && !errors.Is(err, errMistaken) && !errors.Is(err, errUnmarked) {
		return "the cluster answers and has no security", nil
	}
	if err != nil {
		return "", err
	}
	return s.loggedIn(status, answer)
}

// probeOpenSearch asks the security plugin, and where that is not installed, the node.
// https://docs.opensearch.org/latest/security/access-control/api/
func (s *Sink) probeOpenSearch(ctx context.Context) (found string, err error) {
	status, answer, err := s.do(ctx, "reach", s.call(http.MethodGet, "/_plugins/_security/authinfo", ""))
	if noSuchCall(status) && !errors.Is(err, errMistaken) {
		_, answer, err = s.do(ctx, "reach", s.call(http.MethodGet, "/", ""))
		if version := openSearchVersion(answer); err == nil && version != "" {
			return version + " answers and has no security plugin", nil
		}
		return "", errors.Join(err, errors.New("reach opensearch: the answer does not say that it is OpenSearch"))
	}
	if err != nil {
		return "", err
	}
	return s.loggedIn(status, answer)
}

// noSuchCall tells the statuses by which a server says that it does not know a path.
func noSuchCall(status int) bool {
	return status == http.StatusBadRequest || status == http.StatusNotFound || status == http.StatusMethodNotAllowed
}

// loggedIn reads who we are, under the name that either product gives it.
func (s *Sink) loggedIn(status int, answer []byte) (string, error) {
	var who struct {
		Username string `json:"username"`
		UserName string `json:"user_name"`
	}
	if status != http.StatusOK || json.Unmarshal(answer, &who) != nil || who.Username+who.UserName == "" {
		return "", fmt.Errorf("reach %s: the answer does not say who we are: is this %s?", s.server.name, s.server.title)
	}
	return "logged in as " + outbound.Clean(who.Username+who.UserName, 100), nil
}
