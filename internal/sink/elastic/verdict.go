package elastic

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/go-json-experiment/json"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// maxReason bounds what of a server's explanation is kept.
const maxReason = 2 << 10

// reason is the server's explanation of an error.
type reason struct {
	Type     string  `json:"type"`
	Reason   string  `json:"reason"`
	CausedBy *reason `json:"caused_by"`
}

func (r *reason) String() string {
	if r == nil {
		return ""
	}
	text := r.Type + ": " + r.Reason
	for c := r.CausedBy; c != nil && len(text) < maxReason; c = c.CausedBy {
		text += ", caused by " + c.Type + ": " + c.Reason
	}
	return outbound.Clean(text, maxReason)
}

// item is the verdict about one alert.
type item struct {
	ID           string  `json:"_id"`
	Status       int     `json:"status"`
	Error        *reason `json:"error"`
	FailureStore string  `json:"failure_store"`
}

type bulkAnswer struct {
	Items []struct {
		Create *item `json:"create"`
	} `json:"items"`
}

// judge reads the verdicts, one per alert and in its place. An answer that does
// not fit the question is a failure of the whole.
func (p product) judge(status int, answer []byte, batch []event.Alert) error {
	var a bulkAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return fault.WithHint(fmt.Errorf("write to %s: status %d, but the answer is not that of a bulk request", p.name, status),
			"something between here and the node may have answered; check the addresses and the proxy")
	}
	if len(a.Items) != len(batch) {
		return fmt.Errorf("write to %s: %d verdicts for %d alerts", p.name, len(a.Items), len(batch))
	}
	v := deliver.Rejected{}
	for i, it := range a.Items {
		if it.Create == nil || it.Create.ID != batch[i].DeliveryID.String() {
			return fmt.Errorf("write to %s: verdict %d is about another document", p.name, i)
		}
		p.weigh(&v, i, it.Create)
	}
	switch {
	case len(v.Items) == 0 && len(v.Retry) == 0:
		return nil
	case len(v.Retry) == len(batch):
		return v.After
	default:
		return &v
	}
}

// weigh adds the verdict about alert i. 409 means that it is stored already.
func (p product) weigh(v *deliver.Rejected, i int, it *item) {
	text := fmt.Sprintf("%d %s", it.Status, it.Error)
	err := fmt.Errorf("write to %s: %s", p.name, text)
	pause := func(hint string) { again(v, i, fault.WithHint(fault.NewAuth(err), hint)) }
	switch {
	case it.FailureStore == "used" || it.FailureStore == "failed":
		v.Items = append(v.Items, deliver.Rejection{Index: i, Reason: "elasticsearch could not index it and put it into the failure store: check the mapping and pipelines of the data stream"})
	case it.Status >= 200 && it.Status < 300, it.Status == http.StatusConflict:
	case it.Status == http.StatusTooManyRequests:
		again(v, i, fault.NewThrottled(0, err))
	case it.Status == http.StatusRequestTimeout, it.Status >= 500, it.Status == 0:
		again(v, i, err)
	case it.Status == http.StatusUnauthorized, it.Status == http.StatusForbidden:
		pause("the credentials need " + p.write + "; a read-only index answers like this, too")
	case it.Status == http.StatusNotFound:
		pause("run `appgovd setup elasticsearch` to install the index template")
	case it.Error != nil && aboutTheStream(it.Error.Type):
		pause("the cluster refuses to write to the data stream at all: a closed index, or its limit of shards")
	default:
		v.Items = append(v.Items, deliver.Rejection{Index: i, Reason: text})
	}
}

// aboutTheStream tells an error that every document would get.
func aboutTheStream(kind string) bool {
	switch kind {
	case "validation_exception", "index_closed_exception", "cluster_block_exception", "invalid_index_name_exception":
		return true
	default:
		return false
	}
}

func again(v *deliver.Rejected, i int, err error) {
	v.Retry = append(v.Retry, i)
	if v.After == nil || fault.Of(err) == fault.Auth {
		v.After = err
	}
}

// refused classifies an answer to the whole request. Permanent is only what a
// smaller batch can mend or single out; what is about the address, the stream
// or the version waits for a human.
func (s *Sink) refused(what string, resp *esapi.Response, answer []byte) error {
	err := fmt.Errorf("%s: status %d: %s", what, resp.StatusCode, explanation(answer))
	pause := func(hint string) error { return fault.WithHint(fault.NewAuth(err), hint) }
	switch code := resp.StatusCode; {
	case code == http.StatusRequestEntityTooLarge:
		return fault.WithHint(fault.NewPermanent(err), "http.max_content_length of the node, or the proxy before it, is smaller than a batch")
	case code == http.StatusUnauthorized:
		return pause("the credentials are wrong or expired: check api_key, service_token, or username and password")
	case code == http.StatusProxyAuthRequired:
		return pause("the proxy wants credentials: write them into the URL of proxy")
	case code == http.StatusForbidden:
		return pause("the credentials need " + s.server.write)
	case code == http.StatusNotFound:
		return pause("run `appgovd setup elasticsearch` to install the index template, and check the addresses")
	case code >= 300 && code < 400:
		return pause("redirects are not followed: write the address that the node answers at")
	case code == http.StatusConflict, code == http.StatusLocked, code == http.StatusFailedDependency:
		return err
	case code == http.StatusBadRequest && !strings.Contains(err.Error(), "illegal_argument_exception"), code == http.StatusUnprocessableEntity,
		code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code == http.StatusTooEarly, code >= 500:
		return outbound.Classify(code, resp.Header, s.now(), err)
	default:
		return pause("what answers there does not take requests as " + s.server.release + " or later does: check addresses and version")
	}
}

// explanation is what an error's body says, cleaned: the reason of the server
// or the beginning of whatever came.
func explanation(answer []byte) string {
	var a struct {
		Error *reason `json:"error"`
	}
	if err := json.Unmarshal(answer, &a); err == nil && a.Error != nil {
		return a.Error.String()
	}
	return outbound.Clean(string(answer[:min(len(answer), maxReason)]), 256)
}
