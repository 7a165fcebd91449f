package stream

import (
	"strings"
	"testing"

	"github.com/appgovd/appgovd/internal/kafkalogin"
)

func TestKafkaConfig(t *testing.T) {
	good := func() KafkaConfig {
		return KafkaConfig{TenantID: testTenant, Brokers: []string{"contoso.servicebus.windows.net:9093"}, Topics: []string{"logs"}, TLS: &kafkalogin.TLS{}, SASL: &kafkalogin.SASL{Mechanism: "PLAIN", Username: "$ConnectionString", Password: "x"}}
	}
	bearer := kafkalogin.SASL{Mechanism: "OAUTHBEARER", ClientID: "a", ClientSecret: "x", TokenURL: "https://login.microsoftonline.com/t/oauth2/v2.0/token"}
	if got := good().Validate(); len(got) > 0 {
		t.Fatalf("%v", got)
	}
	for want, change := range map[string]func(*KafkaConfig){
		"":                           func(c *KafkaConfig) { c.SASL = &bearer },
		"tenant_id: is not a GUID":   func(c *KafkaConfig) { c.TenantID = "contoso.example" },
		"brokers: names no broker":   func(c *KafkaConfig) { c.Brokers = nil },
		`brokers: "kafka" is not`:    func(c *KafkaConfig) { c.Brokers = []string{"kafka"} },
		"port 9093":                  func(c *KafkaConfig) { c.Brokers = []string{"contoso.servicebus.windows.net:443"} },
		"topics: names no topic":     func(c *KafkaConfig) { c.Topics = nil },
		`topics: "a b" is no topic`:  func(c *KafkaConfig) { c.Topics = []string{"a b"} },
		`topics: "a" is named twice`: func(c *KafkaConfig) { c.Topics = []string{"a", "a"} },
		"start: ":                    func(c *KafkaConfig) { c.Start = "end" },
		"keep: ":                     func(c *KafkaConfig) { c.Keep = "some" },
		"max_message_bytes: ":        func(c *KafkaConfig) { c.MaxMessageBytes = 5 },
		"lateness: ":                 func(c *KafkaConfig) { c.Lateness = "soon" },
		"timeout: ":                  func(c *KafkaConfig) { c.Timeout = "1ms" },
		"idle: ":                     func(c *KafkaConfig) { c.Idle = "0s" },
		"tls.cert_file: ":            func(c *KafkaConfig) { c.TLS.CertFile = "x" },
		"tls: Event Hubs want TLS": func(c *KafkaConfig) {
			c.TLS, c.SASL = nil, &kafkalogin.SASL{Mechanism: "SCRAM-SHA-256", Username: "u", Password: "x"}
		},
		"sasl: Event Hubs want a log-in":  func(c *KafkaConfig) { c.SASL = nil },
		"sasl.mechanism: \"PLAN\"":        func(c *KafkaConfig) { c.SASL.Mechanism = "PLAN" },
		"sasl.mechanism: PLAIN without":   func(c *KafkaConfig) { c.Brokers, c.TLS = []string{"kafka:9092"}, nil },
		"sasl: username and password are": func(c *KafkaConfig) { c.SASL.Username = ""; c.Brokers = []string{"kafka:9093"} },
		"sasl.username: ":                 func(c *KafkaConfig) { c.SASL.Username = "me" },
		"sasl: for OAUTHBEARER alone":     func(c *KafkaConfig) { c.SASL.ClientID = "x" },
		"sasl: username and password are not": func(c *KafkaConfig) {
			s := bearer
			s.Username, c.SASL = "me", &s
		},
		"sasl: client_id and client_secret": func(c *KafkaConfig) {
			s := bearer
			s.ClientID, c.SASL = "", &s
		},
		"sasl.token_url: ": func(c *KafkaConfig) {
			s := bearer
			s.TokenURL, c.SASL = "http://login.example.com/token", &s
		},
	} {
		c := good()
		change(&c)
		assertProblem(t, want, c.Validate())
	}
}

// assertProblem wants a problem whose text begins with, or holds, want; none for "".
func assertProblem(t *testing.T, want string, got []Problem) {
	t.Helper()
	if want == "" && len(got) > 0 {
		t.Errorf("unwanted: %v", got)
	}
	for _, p := range got {
		if strings.Contains(p.Error(), want) {
			return
		}
	}
	if want != "" {
		t.Errorf("no problem %q in %v", want, got)
	}
}

func TestFileConfig(t *testing.T) {
	for want, c := range map[string]FileConfig{
		"":                        {TenantID: testTenant, Paths: []string{"/a/*.json"}, PollInterval: "1s", Lateness: "0s", Keep: "rollup"},
		"tenant_id: ":             {Paths: []string{"/a"}},
		"paths: names no file":    {TenantID: testTenant},
		`paths: "/a[" is no path`: {TenantID: testTenant, Paths: []string{"/a["}},
		`paths: "a" is not abso`:  {TenantID: testTenant, Paths: []string{"a"}},
		"keep: ":                  {TenantID: testTenant, Paths: []string{"/a"}, Keep: "x"},
		"poll_interval: ":         {TenantID: testTenant, Paths: []string{"/a"}, PollInterval: "1ms"},
	} {
		assertProblem(t, want, c.Validate())
	}
}
