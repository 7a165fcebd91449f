package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/appgovd/appgovd/internal/fault"
)

// TemplateName is the index template that Setup installs, and the policy of
// OpenSearch that goes with it.
const TemplateName = "logs-appgov"

const policyPath = "/_plugins/_ism/policies/" + TemplateName

// Setup installs or replaces the index template of the data stream, which says
// the mappings of what we emit and, to Elasticsearch, how long it is kept; for
// OpenSearch a policy of Index State Management says that. It needs rights that
// writing does not. A stream that exists takes the mappings with its next
// backing index; its retention stays as it is. What was installed is returned
// with an error, too.
func (s *Sink) Setup(ctx context.Context) (installed []string, err error) {
	if s.closed.Load() {
		return nil, fmt.Errorf("set up %s: the sink is closed", s.server.name)
	}
	policies := ""
	if s.server.name == openSearch { // before anything is changed on what may be another product
		if policies, err = s.policyPath(ctx); err != nil {
			return nil, s.setupHint(err)
		}
	}
	if err := s.putTemplate(ctx); err != nil {
		return nil, s.setupHint(err)
	}
	installed = append(installed, "index template "+TemplateName)
	if s.server.name != openSearch {
		return installed, nil
	}
	if err := s.putPolicy(ctx, policies); err != nil {
		return installed, s.setupHint(err)
	}
	return append(installed, "policy "+TemplateName), nil
}

func (s *Sink) setupHint(err error) error {
	if fault.Of(err) != fault.Auth || errors.Is(err, errMistaken) || errors.Is(err, errNoPolicies) {
		return err
	}
	return fault.WithHint(err, "setting up needs "+s.server.setup+": give such credentials for this one command, or install what --print shows by other means")
}

// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-put-index-template
func (s *Sink) putTemplate(ctx context.Context) error {
	request := esapi.IndicesPutIndexTemplateRequest{Name: TemplateName, Body: strings.NewReader(s.template)}
	_, _, err := s.do(ctx, "set up", func(ctx context.Context, h http.Header) (*esapi.Response, error) {
		h.Set("Content-Type", "application/json")
		request.Header = h
		return request.Do(ctx, s.transport)
	})
	return err
}

var errNoPolicies = errors.New("set up opensearch: the cluster has no Index State Management, so that nothing ends the alerts")

// policyPath is where the policy is to be put, with the version of the one that
// it replaces; "" = the cluster has no Index State Management.
// https://docs.opensearch.org/latest/im-plugin/ism/api/
func (s *Sink) policyPath(ctx context.Context) (string, error) {
	status, answer, err := s.do(ctx, "set up", s.call(http.MethodGet, policyPath, ""))
	switch {
	case errors.Is(err, errMistaken):
		return "", err
	case status == http.StatusNotFound:
		return policyPath, nil
	case status == http.StatusBadRequest || status == http.StatusMethodNotAllowed:
		return "", nil
	case err != nil:
		return "", err
	}
	var there struct {
		Sequence int64 `json:"_seq_no"`
		Term     int64 `json:"_primary_term"`
	}
	if json.Unmarshal(answer, &there) != nil || there.Term == 0 {
		return "", errors.New("set up opensearch: the answer does not say which policy is there")
	}
	return fmt.Sprintf("%s?if_seq_no=%d&if_primary_term=%d", policyPath, there.Sequence, there.Term), nil
}

func (s *Sink) putPolicy(ctx context.Context, path string) error {
	if path == "" {
		return fault.WithHint(fault.NewAuth(errNoPolicies),
			"install the plugin opensearch-index-management and run this again, or delete old backing indices of "+s.stream+" by other means; alerts are taken either way")
	}
	_, _, err := s.do(ctx, "set up", s.call(http.MethodPut, path, policy(s.retention)))
	return err
}

// Requests is what Setup sends, for those who install it by other means: to
// Elasticsearch the body of the index template, to OpenSearch both requests in
// the form that the Dev Tools of its Dashboards take.
func (c Config) Requests() string {
	if c.Distribution != openSearch {
		return c.Template()
	}
	return "PUT _index_template/" + TemplateName + "\n" + c.Template() + "\n\nPUT " + strings.TrimPrefix(policyPath, "/") + "\n" + policy(c.retention())
}

func (c Config) retention() string {
	if c.Retention == "" {
		return defaultRetention
	}
	return c.Retention
}

// Template is the body of the index template. Its priority is above that of the
// templates that Elasticsearch and Fleet bring along; there, logs-appgov@custom
// is the place for changes of your own.
func (c Config) Template() string {
	text, constant := "match_only_text", "constant_keyword"
	only := `
  "composed_of": ["logs-appgov@custom"],
  "ignore_missing_component_templates": ["logs-appgov@custom"],`
	lifecycle := `
    "lifecycle": {"data_retention": "` + c.retention() + `"},`
	if c.Distribution == openSearch { // its releases before 2.12 and 2.14 have neither type, and none has the rest
		text, constant, only, lifecycle = "text", "keyword", "", ""
	}
	return strings.NewReplacer("COMPOSED", only, "LIFECYCLE", lifecycle, "NAMED", `{"type":"`+constant+`"}`, "LOGS", logsField(constant),
		"K1", `{"type":"keyword","ignore_above":1024}`, "TXT", `{"type":"`+text+`"}`, "DATE", `{"type":"date"}`,
		"LONG", `{"type":"long"}`, "BOOL", `{"type":"boolean"}`).Replace(template)
}

// logsField is the type of data_stream.type, which always says logs.
func logsField(constant string) string {
	if constant == "keyword" {
		return `{"type":"keyword"}`
	}
	return `{"type": "constant_keyword", "value": "logs"}`
}

// policy begins a new backing index after a tenth of the retention, in hours, at
// least one and at most those of 30 days, and deletes one as long after that as alerts are to
// be kept.
func policy(retention string) string {
	n, _ := strconv.Atoi(retention[:len(retention)-1]) // Validate saw that it is a number and a unit
	switch retention[len(retention)-1] {
	case 'd':
		n *= 24
	case 'm':
		n /= 60
	}
	const most = 30 * 24
	return fmt.Sprintf(`{
  "policy": {
    "description": "Alerts of appgovd: a new backing index now and then, and the deletion of old ones",
    "default_state": "open",
    "states": [
      {
        "name": "open",
        "actions": [{"rollover": {"min_index_age": "%dh", "min_primary_shard_size": "50gb"}}],
        "transitions": [{"state_name": "old", "conditions": {"min_rollover_age": %q}}]
      },
      {"name": "old", "actions": [{"delete": {}}], "transitions": []}
    ],
    "ism_template": [{"index_patterns": ["logs-appgov.*-*"], "priority": 501}]
  }
}`, min(max(n/10, 1), most), retention)
}

// template maps every field that package format emits; a test holds the two
// together. What a later version adds becomes a keyword.
const template = `{
  "index_patterns": ["logs-appgov.*-*"],
  "priority": 501,
  "data_stream": {},COMPOSED
  "_meta": {"description": "Alerts and events of appgovd", "managed_by": "appgovd"},
  "template": {LIFECYCLE
    "mappings": {
      "date_detection": false,
      "numeric_detection": false,
      "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": K1}}],
      "properties": {
        "@timestamp": DATE,
        "message": TXT,
        "tags": K1,
        "ecs": {"properties": {"version": K1}},
        "data_stream": {"properties": {"type": LOGS, "dataset": NAMED, "namespace": NAMED}},
        "event": {"properties": {
          "id": K1, "kind": K1, "category": K1, "type": K1, "module": K1, "dataset": K1, "provider": K1, "action": K1, "reason": K1, "url": K1, "reference": K1,
          "severity": LONG, "risk_score": {"type": "float"}, "sequence": LONG, "start": DATE, "outcome": K1, "code": K1, "created": DATE, "ingested": DATE,
          "original": {"type": "keyword", "index": false, "doc_values": false}
        }},
        "http": {"properties": {"request": {"properties": {"method": K1}}, "response": {"properties": {"status_code": LONG, "body": {"properties": {"bytes": LONG}}}}}},
        "url": {"properties": {"original": K1}},
        "rule": {"properties": {"id": K1, "name": K1, "version": K1, "category": K1, "reference": K1}},
        "threat": {"properties": {"framework": K1, "technique": {"properties": {"id": K1, "subtechnique": {"properties": {"id": K1}}}}}},
        "cloud": {"properties": {"provider": K1, "account": {"properties": {"id": K1}}}},
        "organization": {"properties": {"id": K1}},
        "user": {"properties": {"id": K1, "name": K1, "full_name": K1, "email": K1}},
        "source": {"properties": {
          "ip": {"type": "ip"}, "address": K1,
          "as": {"properties": {"number": LONG, "organization": {"properties": {"name": K1}}}},
          "geo": {"properties": {"country_iso_code": K1, "city_name": K1}}
        }},
        "user_agent": {"properties": {"original": K1}},
        "related": {"properties": {"user": K1, "ip": {"type": "ip"}}},
        "appgov": {"properties": {
          "detection_source": K1, "alert_id": K1, "delivery_id": K1, "sequence": LONG, "state": K1, "kind": K1, "severity": K1, "score": LONG, "backfill": BOOL, "provider": K1,
          "summary": TXT, "reason": TXT, "count": LONG, "dedupe_key": K1,
          "labels": {"properties": {"name": K1, "value": K1}},
          "app": {"properties": {"id": K1, "app_id": K1, "object_id": K1, "name": K1, "owner_tenant": K1, "origin": K1, "tier": LONG, "risk": LONG}},
          "actor": {"properties": {"type": K1, "id": K1, "app_id": K1, "name": K1, "upn": K1}},
          "target": {"properties": {"type": K1, "id": K1, "app_id": K1, "name": K1, "upn": K1}},
          "resource": {"properties": {"type": K1, "id": K1, "app_id": K1, "name": K1, "upn": K1}},
          "links": {"properties": {"name": K1, "url": K1}},
          "evidence_total": LONG,
          "evidence": {"properties": {"event_id": K1, "upstream_id": K1, "time": DATE, "action": K1, "activity": K1, "summary": K1}},
          "group": {"properties": {
            "route": K1, "labels": {"properties": {"name": K1, "value": K1}}, "groups": LONG, "total": LONG, "open": LONG, "silenced": LONG, "inhibited": LONG, "counted": LONG,
            "first": DATE, "last": DATE, "severities": {"properties": {"severity": K1, "alerts": LONG}}, "rules": {"properties": {"rule_id": K1, "alerts": LONG}},
            "members": {"properties": {"alert_id": K1, "rule_id": K1, "severity": K1, "title": K1}}
          }},
          "event_id": K1, "version": LONG, "tenant": K1, "source": K1, "class": K1, "upstream_id": K1, "action": K1, "activity": K1, "category": K1, "service": K1,
          "result": K1, "result_code": K1, "result_reason": K1, "correlation_id": K1, "observed": DATE, "derived": BOOL, "notes": K1,
          "credential": {"properties": {"key_id": K1, "kind": K1, "name": K1, "thumbprint": K1, "start": DATE, "end": DATE, "issuer": K1, "subject": K1}},
          "consent": {"properties": {"type": K1, "admin": BOOL, "app_only": BOOL, "on_behalf": K1, "scopes": K1}},
          "signin": {"properties": {
            "kind": K1, "credential_type": K1, "credential_key_id": K1, "thumbprint": K1, "protocol": K1, "client_app": K1, "user_type": K1, "risk_level": K1,
            "conditional_access": K1, "unique_token": K1, "session_id": K1, "resource_owner_tenant": K1
          }},
          "permissions": {"properties": {"kind": K1, "name": K1, "id": K1, "resource": K1, "api": K1, "removed": BOOL, "tier": LONG}},
          "changes": {"properties": {"name": K1, "old": K1, "new": K1}},
          "details": {"properties": {"name": K1, "value": K1}},
          "call": {"properties": {
            "method": K1, "uri": K1, "endpoint": K1, "workload": K1, "api_version": K1, "status": LONG, "response_bytes": LONG, "duration_ms": LONG, "permissions": K1
          }},
          "upstream": {"properties": {
            "title": K1, "alert_id": K1, "status": K1, "severity": K1, "detection_source": K1, "service_source": K1, "category": K1, "description": TXT, "url": K1, "incident_url": K1
          }}
        }}
      }
    }
  }
}`
