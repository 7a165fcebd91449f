package app

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What is registered fits the cloud and the credential of the configuration; the script
// is one of a shell, and Terraform's file is HCL.
func TestTheRegistrationFitsTheCloudAndTheCredential(t *testing.T) {
	const app = "client_id = \"22222222-2222-4222-8222-222222222222\"\nclient_secret = env(\"S\")\n"
	for _, tt := range []struct {
		story, block string
		has, lacks   map[string][]string // by format
	}{
		{
			"worldwide, with a secret", app,
			map[string][]string{"text": {"The app registration needs"}, "az": {"az ad app create", "https://graph.microsoft.com/v1.0/servicePrincipals", "az ad app permission add"}, "terraform": {`resource "azuread_application"`}},
			map[string][]string{"az": {"az cloud"}, "terraform": {"environment"}},
		},
		{
			"GCC High", app + "cloud = \"gcc_high\"\n",
			map[string][]string{"az": {`= "AzureUSGovernment"`, "az cloud set --name AzureUSGovernment", "https://graph.microsoft.us/v1.0/"}, "terraform": {`environment = "usgovernmentl4"`}},
			map[string][]string{"az": {"graph.microsoft.com"}},
		},
		{
			"DoD, whose Graph az does not ask by itself", app + "cloud = \"dod\"\n",
			map[string][]string{"az": {"az cloud set --name AzureUSGovernment", "--endpoint-microsoft-graph-resource-id https://dod-graph.microsoft.us", "--resource https://dod-graph.microsoft.us --url"}, "terraform": {`environment = "usgovernmentl5"`}},
			nil,
		},
		{
			"an address of Graph that is text for a shell", app + "graph_url = \"https://$(id)\"\n",
			map[string][]string{"az": {"--resource https://graph.microsoft.com --url"}},
			map[string][]string{"az": {"$(id)"}, "terraform": {"$(id)"}},
		},
		{
			"China, by the address of Graph", app + "graph_url = \"https://microsoftgraph.chinacloudapi.cn\"\n",
			map[string][]string{"az": {"AzureChinaCloud", "https://microsoftgraph.chinacloudapi.cn/v1.0/"}, "terraform": {`environment = "china"`}},
			nil,
		},
		{
			"a machine's own identity", "client_id = \"22222222-2222-4222-8222-222222222222\"\nmanaged_identity {\n  system_assigned = true\n}\n",
			map[string][]string{"text": {"The managed identity of the machine needs"}, "az": {"sp=${OBJECT_ID_x:?"}, "terraform": {`variable "object_id_x"`, "principal_object_id = data.azuread_service_principal.appgovd_x.object_id"}},
			map[string][]string{"az": {"az ad app", "credential reset"}, "terraform": {"azuread_application"}},
		},
		{
			"an identity that was assigned to the machine", "client_id = \"22222222-2222-4222-8222-222222222222\"\nmanaged_identity {}\n",
			map[string][]string{"az": {"sp=$(az ad sp show --id 22222222-2222-4222-8222-222222222222"}, "terraform": {`client_id = "22222222-2222-4222-8222-222222222222"`}},
			map[string][]string{"az": {"az ad app"}, "terraform": {"azuread_application", "variable"}},
		},
	} {
		t.Run(tt.story, func(t *testing.T) {
			conf := filepath.Join(t.TempDir(), "a.hcl")
			if err := os.WriteFile(conf, []byte("source \"entra\" \"x\" {\ntenant_id = \"11111111-1111-4111-8111-111111111111\"\n"+tt.block+"}\nsink \"stdout\" \"o\" {}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			p, diags := Check(conf)
			if diags.HasErrors() {
				t.Fatal(diags)
			}
			setups, err := p.EntraSetups("x")
			if err != nil {
				t.Fatal(err)
			}
			for _, format := range []string{"text", "az", "terraform", "json"} {
				var b bytes.Buffer
				if err := WriteEntraSetup(&b, format, setups); err != nil {
					t.Fatal(err)
				}
				for _, want := range append(tt.has[format], map[string]string{"json": `"Application.Read.All"`}[format]) {
					if !strings.Contains(b.String(), want) {
						t.Errorf("%s has no %s:\n%s", format, want, &b)
					}
				}
				for _, no := range tt.lacks[format] {
					if strings.Contains(b.String(), no) {
						t.Errorf("%s has %s:\n%s", format, no, &b)
					}
				}
				switch format {
				case "az":
					sh := exec.Command("sh", "-n")
					sh.Stdin = bytes.NewReader(b.Bytes())
					if out, err := sh.CombinedOutput(); err != nil {
						t.Errorf("%v: %s\n%s", err, out, &b)
					}
				case "terraform":
					if _, diags := hclsyntax.ParseConfig(b.Bytes(), "appgovd.tf", hcl.InitialPos); diags.HasErrors() {
						t.Errorf("%v\n%s", diags, &b)
					}
				}
			}
		})
	}
}
