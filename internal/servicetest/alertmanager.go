package servicetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// AlertmanagerServer is one Alertmanager that notifies a webhook of the test about every alert, fired or resolved.
type AlertmanagerServer struct {
	*server
	// URL is the base of its API.
	URL string

	amtool   string
	mu       sync.Mutex
	notified []AlertmanagerAlert
}

// AlertmanagerAlert is an alert as Alertmanager tells it to amtool and to its receivers.
type AlertmanagerAlert struct {
	Status      json.RawMessage   `json:"status"` // an object for amtool, a word for receivers
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	StartsAt    time.Time         `json:"startsAt"`
	EndsAt      time.Time         `json:"endsAt"`
	Generator   string            `json:"generatorURL"`
}

// Alertmanager starts one for one test; it is gone when the test ends.
func Alertmanager(t testing.TB) *AlertmanagerServer {
	t.Helper()
	daemon, amtool := Program(t, "prometheus-alertmanager"), Program(t, "amtool")
	dir := newDir(t, "alertmanager")
	a := &AlertmanagerServer{amtool: amtool}
	hook := a.receiver(t)
	a.server = launch(t, dir, func() *server {
		port := freePorts(t, 1)[0]
		a.URL = "http://" + address(port)
		conf := writeFile(t, filepath.Join(dir, "alertmanager.yml"), fmt.Sprintf(`route:
  receiver: test
  group_by: ['...']
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: test
    webhook_configs:
      - url: %s
        send_resolved: true
`, hook))
		return &server{
			name: "alertmanager",
			command: func() *exec.Cmd {
				return exec.Command(daemon, "--config.file="+conf, "--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+address(port), "--cluster.listen-address=")
			},
			ready: a.answers,
		}
	})
	return a
}

func (a *AlertmanagerServer) answers(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, a.URL+"/-/ready", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("ask alertmanager: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask alertmanager: %s", resp.Status)
	}
	return nil
}

// receiver is the webhook that notifications go to.
func (a *AlertmanagerServer) receiver(t testing.TB) string {
	t.Helper()
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var n struct {
			Alerts []AlertmanagerAlert `json:"alerts"`
		}
		if err := json.NewDecoder(r.Body).Decode(&n); err != nil {
			t.Errorf("decode notification: %v", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		a.notified = append(a.notified, n.Alerts...)
	}))
	t.Cleanup(hook.Close)
	return hook.URL
}

// Alerts are those that fire, as amtool lists them.
func (a *AlertmanagerServer) Alerts(t testing.TB) []AlertmanagerAlert {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, a.amtool, "--alertmanager.url="+a.URL, "alert", "query", "--output=json")
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("amtool: %v\n%s", err, &errs)
	}
	var alerts []AlertmanagerAlert
	if err := json.Unmarshal(out, &alerts); err != nil {
		t.Fatalf("amtool: %v in %s", err, out)
	}
	return alerts
}

// AwaitNotified waits until a notification says that the alert with these labels has that status ("firing", "resolved"),
// and returns it; the test ends when it does not come.
func (a *AlertmanagerServer) AwaitNotified(t testing.TB, status, label, value string) AlertmanagerAlert {
	t.Helper()
	limit := time.After(startLimit)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if n, ok := a.notification(status, label, value); ok {
			return n
		}
		select {
		case <-limit:
			t.Fatalf("no notification that %s=%q is %s\n%s", label, value, status, a.output())
		case <-tick.C:
		}
	}
}

func (a *AlertmanagerServer) notification(status, label, value string) (AlertmanagerAlert, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.notified {
		if string(n.Status) == `"`+status+`"` && n.Labels[label] == value {
			return n, true
		}
	}
	return AlertmanagerAlert{}, false
}
