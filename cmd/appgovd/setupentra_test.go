package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/appgovd/appgovd/internal/provider/msgraph"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sim"
)

// entraConfig is a configuration with one source and one sink.
func entraConfig(t *testing.T, more string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "appgovd.hcl")
	text := `source "entra" "contoso" {
  tenant_id     = "11111111-2222-3333-4444-555555555555"
  client_id     = "00000000-0000-0000-0000-000000000000"
  client_secret = env("APPGOVD_TEST_SECRET")
` + more + `}
sink "stdout" "out" {}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func setupEntra(t *testing.T, conf string, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(append([]string{"setup", "entra", conf}, args...), &out, &errs); code != 0 {
		t.Fatalf("exit code %d: %s", code, &errs)
	}
	return out.String()
}

func TestSetupEntraAsksForWhatTheSourcesNeedAndNoMore(t *testing.T) {
	conf := entraConfig(t, `  collect = ["directory_audits", "federated_credentials"]`+"\n")
	text := setupEntra(t, conf)
	for _, want := range []string{"Application.Read.All", "AuditLog.Read.All", "for federated_credentials", "for directory_audits"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	if strings.Contains(text, "ThreatHunting") || strings.Contains(text, "Directory.Read.All") || strings.Contains(text, "Write") {
		t.Errorf("more than is needed:\n%s", text)
	}
	var all []struct{ Permissions []msgraph.Permission }
	if err := json.Unmarshal([]byte(setupEntra(t, conf, "-o", "json")), &all); err != nil || len(all) != 1 || len(all[0].Permissions) != 2 {
		t.Errorf("%+v %v", all, err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"setup", "entra", conf, "--source", "nobody"}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "no such source") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

// withOffice collects by both APIs.
const withOffice = `  collect = ["default", "office_exchange", "office_dlp"]` + "\n"

func allPermissions() []msgraph.Permission {
	return msgraph.Permissions(append(msgraph.DefaultSources(), "office_exchange", "office_dlp"))
}

func TestSetupEntraTellsWhichAPIAPermissionIsOf(t *testing.T) {
	text := setupEntra(t, entraConfig(t, withOffice))
	_, office, found := strings.Cut(text, "Of Office 365 Management APIs:")
	if !found || !strings.Contains(office, "ActivityFeed.ReadDlp") || !strings.Contains(office, "for office_exchange") || strings.Contains(office, "AuditLog.Read.All") {
		t.Error(text)
	}
}

// The script is run against an az that notes what it is asked for.
func TestTheAzScriptRegistersTheAppAndGrantsEachPermissionOnce(t *testing.T) {
	sh := servicetest.Program(t, "sh")
	dir := t.TempDir()
	script, log := filepath.Join(dir, "register.sh"), filepath.Join(dir, "log")
	if err := os.WriteFile(script, []byte(setupEntra(t, entraConfig(t, withOffice), "-o", "az")), 0o600); err != nil {
		t.Fatal(err)
	}
	az := `#!/bin/sh
echo "$@" >> ` + log + `
case "$1 $2 $3" in
"account show --query") echo "$AZ_TENANT" ;;
"ad app create") echo the-app ;;
"ad sp create") echo the-sp ;;
"ad sp show") echo "object-of-$5" ;;
"rest --method POST") case "$*" in *7ab1d382*) echo "Permission being assigned already exists on the object" >&2; exit 1 ;; esac ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "az"), []byte(az), 0o700); err != nil {
		t.Fatal(err)
	}
	runScript := func(tenant string) (string, error) {
		cmd := exec.Command(sh, script)
		cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "AZ_TENANT="+tenant)
		b, err := cmd.CombinedOutput()
		return string(b), err
	}
	if out, err := runScript("another"); err == nil || !strings.Contains(out, "sign in to tenant") {
		t.Fatalf("in another tenant: %v %s", err, out)
	}
	out, err := runScript("11111111-2222-3333-4444-555555555555")
	if err != nil || !strings.Contains(out, `client_id = "the-app"`) {
		t.Fatalf("%v: %s", err, out)
	}
	calls, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range allPermissions() {
		if n := strings.Count(string(calls), `"resourceId":"object-of-`+p.API+`","appRoleId":"`+p.ID+`"`); n != 1 {
			t.Errorf("%s is granted %d times", p.Name, n)
		}
		if !strings.Contains(string(calls), p.ID+"=Role") {
			t.Errorf("%s is not in the registration", p.Name)
		}
	}
}

func TestTheTerraformFileParsesAndNamesEachPermission(t *testing.T) {
	text := setupEntra(t, entraConfig(t, withOffice), "-o", "terraform")
	f, diags := hclparse.NewParser().ParseHCL([]byte(text), "appgovd.tf")
	if diags.HasErrors() || f == nil {
		t.Fatalf("%v in:\n%s", diags, text)
	}
	for _, p := range allPermissions() {
		if strings.Count(text, p.ID) != 2 { // asked for and granted
			t.Errorf("%s stands there %d times", p.Name, strings.Count(text, p.ID))
		}
	}
}

func TestCheckOnlineSaysWhatIsMissingAndHowToMendIt(t *testing.T) {
	c, err := sim.New(sim.Options{Seed: 1, Apps: 10, Grants: 10, Users: 5, Roles: []string{"AuditLog.Read.All"}})
	if err != nil {
		t.Fatal(err)
	}
	base, ca, stop, err := c.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	dir := t.TempDir()
	put := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	conf := func(collect string) string {
		return put("appgovd.hcl", fmt.Sprintf(`source "entra" "sim" {
  tenant_id     = %q
  client_id     = %q
  client_secret = file(%q)
  graph_url     = %q
  login_url     = %q
  ca_file       = %q
  collect       = [%s]
}
sink "stdout" "out" {}
`, c.TenantID(), c.ClientID(), put("secret", c.ClientSecret()), base, base, put("ca.pem", string(ca)), collect))
	}
	var out, errs bytes.Buffer
	if code := run([]string{"check", "--online", conf(`"directory_audits"`)}, &out, &errs); code != 0 || !strings.Contains(out.String(), "ok     entra/sim directory_audits:") || !strings.Contains(out.String(), "stdout/out sink:") {
		t.Errorf("exit code %d:\n%s%s", code, &out, &errs)
	}
	out.Reset()
	if code := run([]string{"check", "--online", "-o", "json", conf(`"directory_audits", "alerts"`)}, &out, &errs); code != exitFailed {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	var findings []struct {
		What, Advice string
		OK           bool
	}
	if err := json.Unmarshal(out.Bytes(), &findings); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	var failed []string
	for _, f := range findings {
		if !f.OK {
			failed = append(failed, f.What)
			if f.Advice == "" {
				t.Errorf("%s without advice", f.What)
			}
		}
	}
	if !slices.Equal(failed, []string{"permissions", "alerts"}) {
		t.Errorf("failed %q", failed)
	}
}
