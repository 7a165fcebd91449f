package msgraph

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// nationalCloud is where one of Microsoft's clouds answers.
// https://learn.microsoft.com/graph/deployments
// https://learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-reference
type nationalCloud struct {
	graph, login, office string
	lacks                func(spec) bool // sources that it does not have
}

const (
	worldwide = "worldwide"
	china     = "china"
)

// clouds are those that `cloud` may name. GCC shares Graph and the login with the
// world.
func clouds() map[string]nationalCloud {
	all := func(spec) bool { return false }
	national := func(s spec) bool { return s.name == nameAppActivity || s.name == nameCredentialUse } // documented for the worldwide cloud alone
	return map[string]nationalCloud{
		worldwide:  {DefaultGraphURL, DefaultLoginURL, "https://manage.office.com", all},
		"gcc":      {DefaultGraphURL, DefaultLoginURL, "https://manage-gcc.office.com", all},
		"gcc_high": {"https://graph.microsoft.us", entralogin.USGovernment, "https://manage.office365.us", national},
		"dod":      {"https://dod-graph.microsoft.us", entralogin.USGovernment, "https://manage.protection.apps.mil", national},
		china:      {"https://microsoftgraph.chinacloudapi.cn", entralogin.China, "", lackedByChina},
	}
}

// lackedByChina: the cloud of 21Vianet has neither Defender nor Identity Protection.
func lackedByChina(s spec) bool {
	return s.hunt != nil || s.class == event.ClassAlert || s.class == event.ClassRisk || s.name == nameRiskyPrincipals || s.name == nameAppActivity || s.name == nameCredentialUse
}

// Tools are a cloud as the tools of an administrator name it.
type Tools struct {
	Az        string // of `az cloud set --name`; "" = the worldwide one, which az has by default
	Terraform string // `environment` of the provider azuread; "" = the default
}

func toolsOf(cloud string) Tools {
	return map[string]Tools{
		"gcc_high": {"AzureUSGovernment", "usgovernmentl4"},
		"dod":      {"AzureUSGovernment", "usgovernmentl5"},
		china:      {"AzureChinaCloud", "china"},
	}[cloud]
}

func cloudNames() []string { return slices.Sorted(maps.Keys(clouds())) }

// where is the cloud of c: the one that it names, or whose Graph it has.
func (c Config) where() (name string, at nationalCloud) {
	if at, ok := clouds()[c.Cloud]; ok {
		return c.Cloud, at
	}
	for _, name := range []string{"gcc_high", "dod", china} {
		if at := clouds()[name]; at.graph == strings.TrimRight(c.GraphURL, "/") {
			return name, at
		}
	}
	at = clouds()[worldwide]
	if c.GraphURL != "" && strings.TrimRight(c.GraphURL, "/") != DefaultGraphURL {
		at.office = "" // one that nobody knows
	}
	return worldwide, at
}

// NotInCloud is the failure of a source that the tenant's cloud does not have.
type NotInCloud struct{ Cloud string }

// Error says so.
func (e *NotInCloud) Error() string { return "not available in this cloud (" + e.Cloud + ")" }

// absent stands for a source that the cloud does not have: it says so, and once a
// day again.
type absent struct{ cloud string }

// Read reads nothing.
func (a absent) Read(context.Context, []byte) (event.Page, error) {
	err := fault.WithAfter(fault.NewPermanent(fmt.Errorf("read nothing: %w", &NotInCloud{a.cloud})), licenceRetry)
	return event.Page{}, fault.WithHint(err, "take this source out of collect; the others go on")
}
