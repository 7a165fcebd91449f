package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// product is what messages say of one or the other.
type product struct {
	name    string // as distribution has it
	title   string // as its makers write it, with the indefinite article
	release string // that takes our requests
	write   string // rights that writing needs
	setup   string // rights that Setup needs
}

func (c Config) product() product {
	if c.Distribution == openSearch {
		return product{
			name: openSearch, title: "an OpenSearch", release: "OpenSearch 2.0",
			write: "the permissions indices:data/write/bulk*, indices:data/write/index, indices:admin/create, indices:admin/mapping/put and indices:admin/data_stream/get on logs-appgov.*, and of the cluster indices:data/write/bulk and indices:admin/index_template/get",
			setup: "the permissions of the cluster indices:admin/index_template/put, cluster:admin/opendistro/ism/policy/get and cluster:admin/opendistro/ism/policy/write",
		}
	}
	return product{
		name: elasticsearch, title: "an Elasticsearch", release: "Elasticsearch 8.12",
		write: "the privileges auto_configure and create_doc on logs-appgov.*",
		setup: "the cluster privilege manage_index_templates",
	}
}

// productHeader is in every answer of Elasticsearch, and in none of OpenSearch.
const productHeader = "X-Elastic-Product"

var errMistaken = errors.New("the configuration names another product")

// mistaken is the error of a server that is not what distribution says; option
// is what it should say.
func mistaken(what, found, option string) error {
	return fault.WithHint(fault.NewAuth(fmt.Errorf("%s: the server is %s: %w", what, found, errMistaken)),
		fmt.Sprintf("write distribution = %q into the sink, and run `appgovd setup elasticsearch` again", option))
}

var errUnmarked = errors.New("the answer is not marked as Elasticsearch's")

// unmarked tells an answer that OpenSearch gives to what it does not know.
func (s *Sink) unmarked(resp *esapi.Response) bool {
	return s.server.name == elasticsearch && resp.Header.Get(productHeader) == "" && noSuchCall(resp.StatusCode)
}

// explainUnmarked asks an unmarked server whether it is OpenSearch. One that
// does not tell us may be it still: not every user may ask.
func (s *Sink) explainUnmarked(ctx context.Context, header http.Header, what string, err error) error {
	if found := s.openSearchVersion(ctx, header); found != "" {
		return mistaken(what, found, openSearch)
	}
	hint := fault.Hint(err)
	if hint == "" {
		hint = "check the addresses"
	}
	return fault.WithHint(fmt.Errorf("%w (%w)", err, errUnmarked), hint+"; where it is OpenSearch, write distribution = \"opensearch\"")
}

// openSearchVersion asks the node for name and version, "" when it says nothing
// or is something else.
func (s *Sink) openSearchVersion(ctx context.Context, header http.Header) string {
	resp, err := s.call(http.MethodGet, "/", "")(ctx, header)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return openSearchVersion(answer)
}

// openSearchVersion is name and version in an answer to GET /, "" when it is
// not OpenSearch's.
func openSearchVersion(answer []byte) string {
	var root struct {
		Version struct {
			Distribution string `json:"distribution"`
			Number       string `json:"number"`
		} `json:"version"`
	}
	if json.Unmarshal(answer, &root) != nil || root.Version.Distribution != openSearch {
		return ""
	}
	return strings.TrimSpace("OpenSearch " + outbound.Clean(root.Version.Number, 40))
}

// call is a request that esapi has no type for; body is JSON or empty.
func (s *Sink) call(method, path, body string) func(context.Context, http.Header) (*esapi.Response, error) {
	return func(ctx context.Context, h http.Header) (*esapi.Response, error) {
		request, err := http.NewRequestWithContext(ctx, method, path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		if request.Header = h.Clone(); body == "" {
			request.Body = nil
		} else {
			request.Header.Set("Content-Type", "application/json")
		}
		resp, err := s.transport.Perform(request) //nolint:bodyclose // do closes it, or who else calls this
		if err != nil {
			return nil, err
		}
		return &esapi.Response{StatusCode: resp.StatusCode, Header: resp.Header, Body: resp.Body}, nil
	}
}

// lookAgain is how long what covered found holds.
const lookAgain = time.Minute

// covered is an error unless there is the data stream or the template that makes
// it. OpenSearch would make a plain index of the name instead, without our
// mappings and without an end, and knows no require_data_stream.
func (s *Sink) covered(ctx context.Context) error {
	if now := s.now(); s.looked.IsZero() || now.Sub(s.looked) >= lookAgain {
		status, _, err := s.do(ctx, "write to", s.call(http.MethodGet, "/_data_stream/"+s.stream, ""))
		if status == http.StatusNotFound {
			_, _, err = s.do(ctx, "write to", s.call(http.MethodGet, "/_index_template/"+TemplateName, ""))
		}
		if err != nil {
			return err
		}
		s.looked = now
	}
	return nil
}
