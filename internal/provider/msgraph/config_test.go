package msgraph

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclparse"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/secret"
	"github.com/appgovd/appgovd/internal/servicetest"
)

func good() Config {
	return Config{TenantID: testTenant, ClientID: testClient, ClientSecret: secret.Env("S")}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		story  string
		change func(*Config)
		want   []string // "field: part of the text"
	}{
		{"the least that is needed", func(*Config) {}, nil},
		{"a tenant by its domain", func(c *Config) { c.TenantID = "contoso.onmicrosoft.com" }, []string{"tenant_id: is not a GUID"}},
		{"a sweep deeper than ids are remembered", func(c *Config) { c.SweepDepth = "49h" }, []string{"sweep_depth: 49h is more than 48h0m0s"}},
		{"an overlap longer than ids are remembered", func(c *Config) {
			c.CollectorTunings = []Tuning{{Name: nameAudits, Overlap: "72h"}}
		}, []string{"collector.directory_audits.overlap: 72h is more than 48h0m0s"}},
		{"a tenant with a path in it", func(c *Config) { c.TenantID = "a/../b" }, []string{"tenant_id: is not a GUID"}},
		{"nothing at all", func(c *Config) { *c = Config{} }, []string{"tenant_id: is not a GUID", "client_id: GUID", "client_secret: neither"}},
		{"a secret and a certificate", func(c *Config) { c.ClientCertificates = []entralogin.Certificate{{File: "x"}} }, []string{"client_secret: both"}},
		{"a certificate without a file", func(c *Config) { c.ClientSecret, c.ClientCertificates = "", []entralogin.Certificate{{}} }, []string{"client_certificate.file: empty"}},
		{"one certificate twice", func(c *Config) {
			c.ClientSecret, c.ClientCertificates = "", []entralogin.Certificate{{File: "x"}, {File: "x"}}
		}, []string{"client_certificate.file: twice"}},
		{"two certificates", func(c *Config) {
			c.ClientSecret, c.ClientCertificates = "", []entralogin.Certificate{{File: "x"}, {File: "y"}}
		}, nil},
		{"a federated token and a managed identity", func(c *Config) {
			c.ClientSecret, c.WorkloadIdentity, c.ManagedIdentity = "", &entralogin.WorkloadIdentity{TokenFile: "x"}, &entralogin.ManagedIdentity{}
		}, []string{"workload_identity: workload_identity and managed_identity are both given"}},
		{"a federated token without a file", func(c *Config) { c.ClientSecret, c.WorkloadIdentity = "", &entralogin.WorkloadIdentity{} }, []string{"workload_identity.token_file: AZURE_FEDERATED_TOKEN_FILE"}},
		{"a managed identity alone", func(c *Config) {
			c.ClientSecret, c.ManagedIdentity = "", &entralogin.ManagedIdentity{SystemAssigned: true}
		}, nil},
		{"a cloud that is none", func(c *Config) { c.Cloud = "mars" }, []string{`cloud: "mars" is not a cloud`}},
		{"the unified audit log of GCC High", func(c *Config) { c.Cloud, c.Collect = "gcc_high", []string{nameOfficeExchange} }, nil},
		{"that of China, by the name of the cloud", func(c *Config) { c.Cloud, c.Collect = "china", []string{nameOfficeExchange} }, []string{"office_url: need it"}},
		{"a Graph in clear text", func(c *Config) { c.GraphURL = "http://graph.microsoft.com" }, []string{"graph_url: https"}},
		{"a cloud in clear text on this machine", func(c *Config) { c.GraphURL, c.LoginURL = "http://127.0.0.1:8080", "http://localhost:8080" }, nil},
		{"a Graph with a path", func(c *Config) { c.GraphURL = "https://graph.microsoft.com/v1.0" }, []string{"graph_url: form"}},
		{"an unknown source, and one twice", func(c *Config) { c.Collect = []string{"alerts", "signin", "alerts"} }, []string{"collect: signin", "collect: twice"}},
		{"a page that is too large", func(c *Config) { c.PageSize = 1001 }, []string{"page_size: between"}},
		{"more than Microsoft's limit", func(c *Config) { c.BudgetShare = 2 }, []string{"budget_share: between"}},
		{"more than the limit of a cloud on this machine", func(c *Config) { c.BudgetShare, c.GraphURL = 100, "https://127.0.0.1:8443" }, nil},
		{"durations that are none or too short", func(c *Config) { c.PollInterval, c.Overlap = "1s", "soon" }, []string{"poll_interval: less", "overlap: duration"}},
		{"a collector that is unknown, and its duration", func(c *Config) {
			c.CollectorTunings = []Tuning{{Name: "alerts", SweepDepth: "x"}, {Name: "mail"}}
		}, []string{"collector.alerts.sweep_depth: duration", "collector: mail"}},
		{"the defaults and the unified audit log", func(c *Config) {
			c.Collect = []string{"default", nameOfficeExchange, nameOfficeGeneral}
		}, nil},
		{"audits by Graph and by the unified audit log", func(c *Config) { c.Collect = []string{"default", nameOfficeDirectory} }, []string{"collect: office_directory tells the same records as directory_audits and signins_interactive"}},
		{"the unified audit log alone", func(c *Config) { c.Collect = []string{nameOfficeDirectory, nameSPSignIns} }, nil},
		{"activity by hunting and by the unified audit log", func(c *Config) { c.Collect = []string{nameCloudAppEvents, nameOfficeGeneral} }, []string{"collect: cloud_app_events tells the same records as office_general"}},
		{"sign-ins of apps twice", func(c *Config) { c.Collect = []string{nameSpnSignIns, nameMISignIns} }, []string{"collect: spn_signin_events tells the same records as signins_managed_identity"}},
		{"the unified audit log of a cloud that has none", func(c *Config) {
			c.GraphURL, c.Collect = "https://microsoftgraph.chinacloudapi.cn", []string{nameOfficeExchange}
		}, []string{"office_url: need it"}},
		{"that of GCC", func(c *Config) {
			c.OfficeURL, c.Collect = "https://manage-gcc.office.com", []string{nameOfficeExchange}
		}, nil},
		{"an address with a path", func(c *Config) { c.OfficeURL = "https://manage.office.com/api" }, []string{"office_url: form"}},
		{"a resource that is no GUID", func(c *Config) { c.ResourceAppIDs = []string{"Graph"} }, []string{"resource_app_ids: Graph"}},
	} {
		t.Run(tt.story, func(t *testing.T) {
			c := good()
			tt.change(&c)
			got := c.Validate()
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i, p := range got {
				field, part, _ := strings.Cut(tt.want[i], ": ")
				if p.Field != field || !strings.Contains(p.Text, part) {
					t.Errorf("got %v, want %v", p, tt.want[i])
				}
			}
		})
	}
}

func TestDecodeHCL(t *testing.T) {
	const text = `
tenant_id = "11111111-2222-3333-4444-555555555555"
client_id = "99999999-8888-7777-6666-555555555555"
client_certificate {
  file = "/etc/appgovd/client.pem"
}
collect       = ["alerts", "directory_audits"]
poll_interval = "2m"
collector "alerts" {
  poll_interval = "5m"
  page_size     = 50
}
`
	f, diags := hclparse.NewParser().ParseHCL([]byte(text), "x.hcl")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	var c Config
	if diags := gohcl.DecodeBody(f.Body, nil, &c); diags.HasErrors() {
		t.Fatal(diags)
	}
	if ps := c.Validate(); len(ps) > 0 {
		t.Fatal(ps)
	}
	c = c.withDefaults()
	byName := func(name string) spec {
		return specs()[slices.IndexFunc(specs(), func(s spec) bool { return s.name == name })]
	}
	want := schedule{poll: 5 * time.Minute, overlap: 10 * time.Minute, sweepEvery: time.Hour, sweepDepth: 24 * time.Hour, lateness: 2 * time.Hour, resync: 168 * time.Hour, pageSize: 50}
	if d := cmp.Diff(want, c.schedule(byName(nameAlerts)), cmp.AllowUnexported(schedule{})); d != "" {
		t.Fatalf("a collector's own schedule:\n%s", d)
	}
	want.poll, want.pageSize = 2*time.Minute, 1000
	if d := cmp.Diff(want, c.schedule(byName(nameAudits)), cmp.AllowUnexported(schedule{})); d != "" {
		t.Fatalf("the general schedule:\n%s", d)
	}
}

// TestSelectedProperties: a property that does not exist is refused with 400.
func TestSelectedProperties(t *testing.T) {
	csdl := servicetest.Corpus(t, "graph-v1.0-csdl.xml")
	for entity, selects := range map[string][]string{"application": selectApplication(), "servicePrincipal": selectPrincipal()} {
		_, body, found := strings.Cut(string(csdl), `<EntityType Name="`+entity+`"`)
		body, _, _ = strings.Cut(body, "</EntityType>")
		for _, name := range selects {
			if !found || name != "id" && !strings.Contains(body, `<Property Name="`+name+`"`) {
				t.Errorf("%s has no property %s", entity, name)
			}
		}
	}
}

func TestTheManagementActivityAPIFollowsFromTheCloud(t *testing.T) {
	for graph, want := range map[string]string{
		"":                                "https://manage.office.com",
		"https://graph.microsoft.us":      "https://manage.office365.us",
		"https://dod-graph.microsoft.us/": "https://manage.protection.apps.mil",
		"https://microsoftgraph.chinacloudapi.cn": "",
	} {
		if got := (Config{GraphURL: graph}).withDefaults().OfficeURL; got != want {
			t.Errorf("%q leads to %q, want %q", graph, got, want)
		}
	}
}
