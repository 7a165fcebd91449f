package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/template"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/provider/msgraph"

	"time"
)

// EntraSetup is what a registration for one source block needs.
type EntraSetup struct {
	Name        string               `json:"name"` // of the source block
	Tenant      string               `json:"tenant_id"`
	Permissions []msgraph.Permission `json:"permissions"`
	Cloud       string               `json:"cloud"`
	Graph       string               `json:"graph_url"`
	Tools       msgraph.Tools        `json:"-"`
	Machine     bool                 `json:"managed_identity,omitempty"`           // it is given the permissions; no app is registered
	ClientID    string               `json:"managed_identity_client_id,omitempty"` // of one that is not the machine's own
}

func setupOf(name, tenant string, r msgraph.Registration) EntraSetup {
	return EntraSetup{Name: name, Tenant: tenant, Permissions: r.Permissions, Cloud: r.Cloud, Graph: r.GraphURL, Tools: r.Tools, Machine: r.Machine, ClientID: r.ClientID}
}

// EntraSetups lists what each source block of kind entra needs; name picks one.
func (p *Plan) EntraSetups(name string) ([]EntraSetup, error) {
	var out []EntraSetup
	for _, s := range p.sources {
		if s.block.Kind == "entra" && (name == "" || name == s.block.Name) {
			out = append(out, setupOf(msgraph.PlainName(s.block.Name), s.kind.tenant, s.kind.needs))
		}
	}
	if len(out) == 0 {
		return nil, errors.New("set up entra: the configuration has no such source of kind entra")
	}
	return out, nil
}

// WriteEntraSetup writes what a registration needs: "text", "json", "az" (a script for
// the az command line) or "terraform".
func WriteEntraSetup(w io.Writer, format string, setups []EntraSetup) error {
	if format == "json" {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(setups)
	}
	text, ok := map[string]string{"text": setupText, "az": setupAz, "terraform": setupTerraform}[format]
	if !ok {
		return fmt.Errorf("set up entra: %q is no format; known are text, json, az, terraform", format)
	}
	t, err := template.New(format).Funcs(template.FuncMap{"join": strings.Join, "id": func(s string) string { return strings.ReplaceAll(s, "-", "_") }, "apis": apisOf}).Parse(text)
	if err != nil {
		return fmt.Errorf("set up entra: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"Setups": setups}); err != nil {
		return fmt.Errorf("set up entra: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// entraAPI is one API with the permissions of it that sources need.
type entraAPI struct {
	ID, Name    string // client id, and its name
	Permissions []msgraph.Permission
}

func apisOf(all []msgraph.Permission) (out []entraAPI) {
	for _, p := range all { // sorted by API
		if len(out) == 0 || out[len(out)-1].ID != p.API {
			out = append(out, entraAPI{ID: p.API, Name: p.APIName})
		}
		last := &out[len(out)-1]
		last.Permissions = append(last.Permissions, p)
	}
	return out
}

const setupText = `{{range .Setups}}Source "entra" "{{.Name}}", tenant {{.Tenant}}

{{if .Machine}}The managed identity{{if .ClientID}} {{.ClientID}}{{else}} of the machine{{end}} needs these application permissions, and no more:
{{else}}The app registration needs these application permissions, with admin consent, and no more:
{{end}}{{range apis .Permissions}}
Of {{.Name}}:

{{range .Permissions}}  {{.Name}}
      {{.Why}}
      for {{join .Sources ", "}}
{{end}}{{end}}
{{end}}All of them only read. Register it with:

  appgovd setup entra FILE -o az          > register.sh     a script for the az command line
  appgovd setup entra FILE -o terraform   > appgovd.tf      the same for Terraform

Then: appgovd check --online FILE
`

const setupAz = `#!/bin/sh
# Registers appgovd in Microsoft Entra with the permissions that its sources need, and no more. Read it before you run it.
# Needs the az command line, signed in (az login --tenant ...) as a Privileged Role Administrator or Global Administrator.
set -eu
{{range $s := .Setups}}
# Source "entra" "{{.Name}}"{{with .Tools.Az}}
test "$(az cloud show --query name --output tsv)" = "{{.}}" || { echo "this tenant is in another cloud: az cloud set --name {{.}}, then sign in again" >&2; exit 1; }
test "$(az cloud show --query endpoints.microsoftGraphResourceId --output tsv | sed 's|/$||')" = "{{$s.Graph}}" || { echo "az asks another Graph: az cloud update --name {{.}} --endpoint-microsoft-graph-resource-id {{$s.Graph}}" >&2; exit 1; }{{end}}
test "$(az account show --query tenantId --output tsv)" = "{{.Tenant}}" || { echo "sign in to tenant {{.Tenant}} first: az login --tenant {{.Tenant}} --allow-no-subscriptions" >&2; exit 1; }
{{if .ClientID}}sp=$(az ad sp show --id {{.ClientID}} --query id --output tsv) # the managed identity
{{else if .Machine}}sp=${OBJECT_ID_{{id .Name}}:?set it to the object id of the managed identity: az vm show --name VM --resource-group GROUP --query identity.principalId}
{{else}}app=$(az ad app create --display-name "appgovd {{.Name}}" --sign-in-audience AzureADMyOrg --query appId --output tsv)
sp=$(az ad sp create --id "$app" --query id --output tsv 2>/dev/null || az ad sp show --id "$app" --query id --output tsv)
{{end}}
# Admin consent, one permission after the other; one that is already given is no error.
consent() {
	tries=0
	until out=$(az rest --method POST --resource {{.Graph}} --url "{{.Graph}}/v1.0/servicePrincipals/$sp/appRoleAssignments" \
		--headers Content-Type=application/json --body "{\"principalId\":\"$sp\",\"resourceId\":\"$api\",\"appRoleId\":\"$1\"}" 2>&1); do
		case $out in *"already exists"*) break ;; esac
		tries=$((tries + 1)) # a new service principal is known everywhere after some seconds
		test "$tries" -lt 10 || { echo "$2: $out" >&2; exit 1; }
		sleep 5
	done
	echo "granted $2"
}
{{$machine := .Machine}}{{range apis .Permissions}}
# {{.Name}}
api=$(az ad sp show --id {{.ID}} --query id --output tsv)
{{if not $machine}}az ad app permission add --id "$app" --api {{.ID}} --api-permissions{{range .Permissions}} {{.ID}}=Role{{end}} --only-show-errors
{{end}}{{range .Permissions}}consent {{.ID}} {{.Name}} # {{.Why}}
{{end}}{{end}}
{{if not .Machine}}echo "tenant_id = \"{{.Tenant}}\""
echo "client_id = \"$app\""
echo "Give it a certificate (better) or a secret, for example:"
echo "  az ad app credential reset --id $app --append --create-cert"
{{end}}{{end}}`

const setupTerraform = `# Registers appgovd in Microsoft Entra with the permissions that its sources need, and no more.
terraform {
  required_providers {
    azuread = {
      source  = "hashicorp/azuread"
      version = ">= 2.47"
    }
  }
}
{{range $s := .Setups}}
# Source "entra" "{{$s.Name}}"
provider "azuread" {
  alias     = "appgovd_{{id $s.Name}}"
  tenant_id = "{{$s.Tenant}}"{{with $s.Tools.Terraform}}
  environment = "{{.}}"{{end}}
}
{{if $s.ClientID}}
data "azuread_service_principal" "appgovd_{{id $s.Name}}" {
  provider  = azuread.appgovd_{{id $s.Name}}
  client_id = "{{$s.ClientID}}" # the managed identity
}
{{else if $s.Machine}}
variable "object_id_{{id $s.Name}}" {
  description = "Object id of the managed identity: principalId of the machine's identity"
  type        = string
}

data "azuread_service_principal" "appgovd_{{id $s.Name}}" {
  provider  = azuread.appgovd_{{id $s.Name}}
  object_id = var.object_id_{{id $s.Name}}
}
{{else}}
resource "azuread_application" "appgovd_{{id $s.Name}}" {
  provider         = azuread.appgovd_{{id $s.Name}}
  display_name     = "appgovd {{$s.Name}}"
  sign_in_audience = "AzureADMyOrg"
{{range apis $s.Permissions}}
  required_resource_access { # {{.Name}}
    resource_app_id = "{{.ID}}"
{{range .Permissions}}
    resource_access { # {{.Name}}: {{.Why}}
      id   = "{{.ID}}"
      type = "Role"
    }
{{end}}  }
{{end}}}

resource "azuread_service_principal" "appgovd_{{id $s.Name}}" {
  provider  = azuread.appgovd_{{id $s.Name}}
  client_id = azuread_application.appgovd_{{id $s.Name}}.client_id
}
{{end}}{{range apis $s.Permissions}}
data "azuread_service_principal" "api_{{id .ID}}_{{id $s.Name}}" {
  provider  = azuread.appgovd_{{id $s.Name}}
  client_id = "{{.ID}}" # {{.Name}}
}

# Admin consent.
resource "azuread_app_role_assignment" "api_{{id .ID}}_{{id $s.Name}}" {
  provider = azuread.appgovd_{{id $s.Name}}
  for_each = toset([{{range .Permissions}}
    "{{.ID}}", # {{.Name}}{{end}}
  ])
  app_role_id         = each.value
  principal_object_id = {{if $s.Machine}}data.{{end}}azuread_service_principal.appgovd_{{id $s.Name}}.object_id
  resource_object_id  = data.azuread_service_principal.api_{{id .ID}}_{{id $s.Name}}.object_id
}
{{end}}
{{if not $s.Machine}}output "client_id_{{id $s.Name}}" {
  value = azuread_application.appgovd_{{id $s.Name}}.client_id
}
{{end}}{{end}}`

// OnlineFinding is what a check by the network found out about one block.
type OnlineFinding struct {
	Block  string `json:"block"` // "entra/contoso", "kafka/soc"
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Text   string `json:"text"`
	Advice string `json:"advice,omitempty"`
}

// CheckOnline tries each source's token, permissions and first page, and the way to
// each sink's destination. It keeps nothing and sends no alert.
func (p *Plan) CheckOnline(ctx context.Context, version string) []OnlineFinding {
	var out []OnlineFinding
	d := deps{log: zap.NewNop(), metrics: prometheus.NewRegistry(), now: time.Now, lookback: time.Hour, version: version, stdout: io.Discard, hasher: event.NewHasher([16]byte{})}
	for _, s := range p.sources {
		d.tenant = s.block.Key()
		src, err := s.kind.build(ctx, d)
		if err != nil {
			out = append(out, OnlineFinding{Block: s.block.Key(), What: "build", Text: err.Error()})
			continue
		}
		for _, f := range src.check(ctx) {
			out = append(out, OnlineFinding{s.block.Key(), f.What, f.OK, f.Text, f.Advice})
		}
		src.close()
	}
	for _, s := range p.sinks {
		out = append(out, probed(ctx, s.block, s.kind, d))
	}
	return out
}

// prober is a sink that can try the way to its destination without an alert.
type prober interface {
	Probe(ctx context.Context) (found string, err error)
}

// probeTime bounds how long one destination may take to answer.
const probeTime = 30 * time.Second

// probed builds a sink, which reads its secrets and certificates, tries the way to its
// destination where there is one, and closes it. No alert is sent.
func probed(ctx context.Context, b config.Block, s checkedSink, d deps) OnlineFinding {
	f := OnlineFinding{Block: b.Key(), What: "sink", OK: true, Text: "can be written"}
	sink, err := s.build(d)
	if err != nil {
		return OnlineFinding{Block: b.Key(), What: "sink", Text: err.Error(), Advice: "see the sink's options in its example configuration"}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	if p, ok := sink.(prober); ok {
		f.Text, err = p.Probe(ctx)
	}
	if err = errors.Join(err, sink.Close()); err != nil {
		f.OK, f.Text, f.Advice = false, err.Error(), fault.Hint(err)
	}
	return f
}
