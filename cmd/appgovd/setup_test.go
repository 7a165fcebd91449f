package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// The node is one of our own; that a real one takes the template is tested
// beside the sink.
func TestSetupElasticsearchSendsTheTemplateByTheCredentialsOfTheMoment(t *testing.T) {
	dir := t.TempDir()
	var auth, path, body string
	status := http.StatusOK
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		auth, path, body = r.Header.Get("Authorization"), r.Method+" "+r.URL.Path, b.String()
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, `{"acknowledged":true}`)
	}))
	defer node.Close()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	ca := put("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: node.Certificate().Raw})))
	conf := put("appgovd.hcl", fmt.Sprintf(`sink "elasticsearch" "soc" {
  addresses = [%q]
  api_key   = file(%q)
  gzip      = false
  proxy     = "none"
  tls {
    ca_file = %q
  }
}
`, node.URL, put("own.key", "b3duOmtleQ=="), ca))
	for _, tt := range []struct {
		name string
		args []string
		auth string
	}{
		{"the sink's own", nil, "ApiKey b3duOmtleQ=="},
		{"another API key", []string{"--api-key-file", put("other.key", "b3RoZXI6a2V5\n")}, "ApiKey b3RoZXI6a2V5"},
		{"a user", []string{"--sink", "soc", "--username", "elastic", "--password-file", put("password", "hunter2")}, "Basic ZWxhc3RpYzpodW50ZXIy"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out, errs bytes.Buffer
			if code := run(append([]string{"setup", "elasticsearch", conf}, tt.args...), &out, &errs); code != 0 {
				t.Fatalf("exit code %d: %s", code, &errs)
			}
			if auth != tt.auth || path != "PUT /_index_template/logs-appgov" || !json.Valid([]byte(body)) || !strings.Contains(body, "logs-appgov.*-*") {
				t.Errorf("%s %s %.200s", auth, path, body)
			}
			if !strings.Contains(out.String(), "elasticsearch/soc: index template logs-appgov is installed") {
				t.Errorf("output %q", &out)
			}
		})
	}
	t.Run("a missing right is named with the way out", func(t *testing.T) {
		status = http.StatusForbidden
		var out, errs bytes.Buffer
		if code := run([]string{"setup", "elasticsearch", conf}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "hint: setting up needs the cluster privilege manage_index_templates") {
			t.Errorf("exit code %d: %s", code, &errs)
		}
	})
}

// That a real broker makes the topics as configured is tested beside the sink.
func TestSetupKafkaLogsInByTheCredentialsOfTheMoment(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "admin", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	dir := t.TempDir()
	password, conf := filepath.Join(dir, "password"), filepath.Join(dir, "appgovd.hcl")
	text := fmt.Sprintf(`sink "kafka" "soc" {
  brokers = [%q]
  topic   = "soc.alerts"
  sasl {
    mechanism = "SCRAM-SHA-512"
    username  = "appgovd"
    password  = file(%q)
  }
}
`, cluster.ListenAddrs()[0], password)
	for file, content := range map[string]string{password: "hunter2", conf: text} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	if code := run([]string{"setup", "kafka", conf}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "check the sasl block") || strings.Contains(errs.String(), "hunter2") {
		t.Errorf("the sink's own: exit code %d: %s", code, &errs)
	}
	for _, told := range []string{"is made", "exists"} {
		out.Reset()
		if code := run([]string{"setup", "kafka", conf, "--username", "admin", "--password-file", password}, &out, &errs); code != 0 || out.String() != "kafka/soc: topic soc.alerts "+told+"\n" {
			t.Errorf("exit code %d, output %q: %s", code, &out, &errs)
		}
	}
}
