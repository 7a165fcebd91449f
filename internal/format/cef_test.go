package format

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// hostile is an alert whose texts try to leave their field.
func hostile() *event.Alert {
	a := sample()
	a.Title = "a|b\\c=d\r\ne"
	a.App.Name = `x cs1=Owned act=none \` + "\n" + `CEF:0|evil|evil|1|1|1|10|`
	a.Actor.UPN = "bob\tcat=fine\u202e"
	a.Summary = "é\xff\x00 =|\\"
	a.Origin.IP = "2001:db8::1"
	return a
}

func TestLinesOfCEFAndLEEF(t *testing.T) {
	for name, b := range map[string][]byte{"cef": AppendCEF(nil, sample()), "cef-hostile": AppendCEF(nil, hostile()), "leef": AppendLEEF(nil, sample()), "leef-hostile": AppendLEEF(nil, hostile()), "cef-group": AppendCEF(nil, notice()), "leef-group": AppendLEEF(nil, notice())} {
		file := filepath.Join("testdata", name+".golden.txt")
		b = append(b, '\n')
		if *update {
			if err := os.WriteFile(file, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(b)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestTextOfOthersStaysInItsField(t *testing.T) {
	a := hostile()
	head, pairs := cefOf(t, string(AppendCEF(nil, a)))
	if want := []string{"appgovd", "App Governance", "1.0", a.RuleID, "a|b\\c=d  e", "8"}; !slices.Equal(head, want) {
		t.Errorf("header %q, want %q", head, want)
	}
	for key, want := range map[string]string{
		"cs1": "App Governance", "cs1Label": "detectionSource", "sourceServiceName": a.App.Name, "act": a.Action, "suser": "bob cat=fine ", "msg": "é\ufffd  =|\\",
		"c6a2": "2001:db8::1", "externalId": a.ID.String(), "cs3": a.DeliveryID.String(), "cn1": "80", "rt": "1795168800123",
	} {
		if pairs[key] != want {
			t.Errorf("%s is %q, want %q", key, pairs[key], want)
		}
	}
	parts := strings.Split(string(AppendLEEF(nil, a)), "\t")
	if n := strings.Count(parts[0], "|"); n != 6 || !strings.HasPrefix(parts[0], "LEEF:2.0|appgovd|App Governance|1.0|"+a.RuleID+"|x09|devTime=") {
		t.Errorf("LEEF begins with %q", parts[0])
	}
	if !slices.Contains(parts, "detectionSource=App Governance") || !slices.Contains(parts, "usrName=bob cat=fine ") || !slices.Contains(parts, "sev=8") {
		t.Errorf("LEEF %q", parts)
	}
}

// liblognorm's parser of CEF is one that we did not write.
func TestLognormReadsCEF(t *testing.T) {
	parser := servicetest.Program(t, "lognormalizer")
	rules := filepath.Join(t.TempDir(), "cef.rb")
	if err := os.WriteFile(rules, []byte("version=2\nrule=:%f:cef%\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]*event.Alert{"sample": sample(), "hostile": hostile(), "full": full(), "app": alerts()["app"]} {
		line := string(AppendCEF(nil, a))
		_, want := cefOf(t, line)
		head, ext := line[:strings.LastIndex(line, "|rt=")+1], line[strings.LastIndex(line, "|rt=")+1:]
		cmd := exec.Command(parser, "-r", rules, "-e", "json")
		cmd.Stdin = strings.NewReader(head + " " + ext + "\n") // it takes the first letter of a key that stands at the bar
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got struct {
			F struct {
				DeviceVendor, SignatureID, Name, Severity string
				Extensions                                map[string]string
			}
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
		if got.F.DeviceVendor != "appgovd" || got.F.SignatureID != a.RuleID {
			t.Errorf("%s: %s", name, out)
		}
		if diff := cmp.Diff(want, got.F.Extensions); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The required fields of the data model Alerts and the values that they may have, as
// Splunk publishes them for its add-ons.
func TestADocumentHasWhatCIMRequires(t *testing.T) {
	for name, a := range alerts() {
		var doc map[string]any
		if err := json.Unmarshal(AppendCIM(nil, a), &doc); err != nil {
			t.Fatal(err)
		}
		for _, field := range []string{"app", "description", "dest", "id", "severity", "signature", "signature_id", "src", "type", "user"} {
			if s, ok := doc[field].(string); !ok || s == "" {
				t.Errorf("%s: %s is %v", name, field, doc[field])
			}
		}
		if !slices.Contains([]any{"critical", "high", "medium", "low", "informational"}, doc["severity"]) || doc["type"] != "alert" || doc["detection_source"] != "App Governance" {
			t.Errorf("%s: severity %v, type %v", name, doc["severity"], doc["type"])
		}
	}
}

func BenchmarkFormats(b *testing.B) {
	a := sample()
	a.Time = time.Unix(1780000000, 0)
	for _, name := range Names() {
		encode, err := Named(name, nil)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			for b.Loop() {
				dst = encode(dst[:0], a)
			}
			b.SetBytes(int64(len(dst)))
		})
	}
}
