package elastic

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/appgovd/appgovd/internal/fault"
)

// TemplateName is the index template that Setup installs.
const TemplateName = "logs-appgov"

// Setup installs or replaces the index template of the data stream: mappings of
// what we emit, and how long it is kept. It needs the cluster privilege
// manage_index_templates, which writing does not. A stream that exists takes
// the mappings with its next backing index; its retention stays as it is.
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-put-index-template
func (s *Sink) Setup(ctx context.Context) error {
	if s.closed.Load() {
		return errors.New("set up elasticsearch: the sink is closed")
	}
	request := esapi.IndicesPutIndexTemplateRequest{Name: TemplateName, Body: strings.NewReader(s.template)}
	_, _, err := s.do(ctx, "set up elasticsearch", func(ctx context.Context, h http.Header) (*esapi.Response, error) {
		h.Set("Content-Type", "application/json")
		request.Header = h
		return request.Do(ctx, s.transport)
	})
	if fault.Of(err) == fault.Auth {
		return fault.WithHint(err, "setting up needs the cluster privilege manage_index_templates: give such credentials for this one command, or install what --print shows by other means")
	}
	return err
}

// Template is the body that Setup sends, for those who install it by other
// means. Its priority is above that of the templates that Elasticsearch and
// Fleet bring along; logs-appgov@custom is the place for changes of your own.
func (c Config) Template() string {
	retention := c.Retention
	if retention == "" {
		retention = defaultRetention
	}
	return strings.NewReplacer("RETENTION", retention, "K1", `{"type":"keyword","ignore_above":1024}`, "TXT", `{"type":"match_only_text"}`, "DATE", `{"type":"date"}`,
		"LONG", `{"type":"long"}`, "BOOL", `{"type":"boolean"}`).Replace(template)
}

// template maps every field that package format emits; a test holds the two
// together. What a later version adds becomes a keyword.
const template = `{
  "index_patterns": ["logs-appgov.*-*"],
  "priority": 501,
  "data_stream": {},
  "composed_of": ["logs-appgov@custom"],
  "ignore_missing_component_templates": ["logs-appgov@custom"],
  "_meta": {"description": "Alerts of appgovd", "managed_by": "appgovd"},
  "template": {
    "lifecycle": {"data_retention": "RETENTION"},
    "mappings": {
      "date_detection": false,
      "numeric_detection": false,
      "dynamic_templates": [{"text": {"match_mapping_type": "string", "mapping": K1}}],
      "properties": {
        "@timestamp": DATE,
        "message": TXT,
        "tags": K1,
        "ecs": {"properties": {"version": K1}},
        "data_stream": {"properties": {"type": {"type": "constant_keyword", "value": "logs"}, "dataset": {"type": "constant_keyword"}, "namespace": {"type": "constant_keyword"}}},
        "event": {"properties": {
          "id": K1, "kind": K1, "category": K1, "type": K1, "module": K1, "dataset": K1, "provider": K1, "action": K1, "reason": K1, "url": K1, "reference": K1,
          "severity": LONG, "risk_score": {"type": "float"}, "sequence": LONG, "start": DATE
        }},
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
          "evidence_total": LONG,
          "evidence": {"properties": {"event_id": K1, "upstream_id": K1, "time": DATE, "action": K1, "activity": K1, "summary": K1}},
          "group": {"properties": {
            "route": K1, "labels": {"properties": {"name": K1, "value": K1}}, "groups": LONG, "total": LONG, "open": LONG, "silenced": LONG, "inhibited": LONG, "counted": LONG,
            "first": DATE, "last": DATE, "severities": {"properties": {"severity": K1, "alerts": LONG}}, "rules": {"properties": {"rule_id": K1, "alerts": LONG}},
            "members": {"properties": {"alert_id": K1, "rule_id": K1, "severity": K1, "title": K1}}
          }},
          "upstream": {"properties": {
            "alert_id": K1, "status": K1, "severity": K1, "detection_source": K1, "service_source": K1, "category": K1, "description": TXT, "url": K1, "incident_url": K1
          }}
        }}
      }
    }
  }
}`
