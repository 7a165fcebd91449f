package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// maxParsed bounds an alert that is read.
const maxParsed = 4 << 20

// parsed is what routes can ask of an alert, as AppendJSON writes it.
type parsed struct {
	Time       time.Time `json:"time"`
	Opened     time.Time `json:"opened"`
	Title      string    `json:"title"`
	RuleID     string    `json:"rule_id"`
	Tenant     string    `json:"tenant"`
	Action     string    `json:"action"`
	Techniques []string  `json:"techniques"`
	AlertID    event.ID  `json:"alert_id"`
	DeliveryID event.ID  `json:"delivery_id"`
	Sequence   uint32    `json:"sequence"`
	State      string    `json:"state"`
	Kind       string    `json:"kind"`
	Severity   string    `json:"severity"`
	Score      int       `json:"score"`
	Backfill   bool      `json:"backfill"`
	Provider   string    `json:"provider"`
	Summary    string    `json:"summary"`
	Reason     string    `json:"reason"`
	Count      int       `json:"count"`
	DedupeKey  string    `json:"dedupe_key"`
	App        struct {
		ID          string `json:"id"`
		ObjectID    string `json:"object_id"`
		AppID       string `json:"app_id"`
		Name        string `json:"name"`
		OwnerTenant string `json:"owner_tenant"`
		Origin      string `json:"origin"`
		Tier        int8   `json:"tier"`
		Risk        int    `json:"risk"`
	} `json:"app"`
	Actor    parsedEntity `json:"actor"`
	Target   parsedEntity `json:"target"`
	Resource parsedEntity `json:"resource"`
	Source   struct {
		IP string `json:"ip"`
		AS struct {
			Number       uint32 `json:"number"`
			Organization struct {
				Name string `json:"name"`
			} `json:"organization"`
		} `json:"as"`
		Geo struct {
			Country string `json:"country_iso_code"`
			City    string `json:"city_name"`
		} `json:"geo"`
	} `json:"source"`
	Upstream *struct {
		AlertID         string `json:"alert_id"`
		Severity        string `json:"severity"`
		DetectionSource string `json:"detection_source"`
		ServiceSource   string `json:"service_source"`
	} `json:"upstream"`
}

type parsedEntity struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	AppID string `json:"app_id"`
	Name  string `json:"name"`
	UPN   string `json:"upn"`
}

func (e parsedEntity) entity() event.Entity { return event.Entity(e) }

// ParseJSON reads one alert in the form that AppendJSON writes: what routes can ask of
// it, nothing else; the user agent is not in that form. A field of another type, a severity or a state that there is not, no
// severity, and anything behind the alert are errors that say where.
func ParseJSON(b []byte) (event.Alert, error) {
	if len(b) > maxParsed {
		return event.Alert{}, fmt.Errorf("read alert: %d bytes, at most %d", len(b), maxParsed)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	var p *parsed
	if err := dec.Decode(&p); err != nil {
		return event.Alert{}, fmt.Errorf("read alert: %w", explained(err, b))
	}
	if p == nil {
		return event.Alert{}, errors.New("read alert: it is null")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return event.Alert{}, errors.New("read alert: something stands behind it; give one alert")
	}
	severity, ok := event.ParseSeverity(p.Severity)
	if !ok {
		return event.Alert{}, fmt.Errorf("read alert: severity is %q; it must be informational, low, medium, high or critical", p.Severity)
	}
	switch event.AlertState(p.State) {
	case "", event.AlertNew, event.AlertUpdated, event.AlertResolved:
	default:
		return event.Alert{}, fmt.Errorf("read alert: state is %q; it must be new, updated or resolved", p.State)
	}
	return p.alert(severity), nil
}

// explained names the place of a mistake.
func explained(err error, b []byte) error {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return fmt.Errorf("%s must be %s, and is %s", wrong.Field, wrong.Type, wrong.Value)
	case errors.As(err, &syntax):
		before := string(b[:min(int(syntax.Offset), len(b))])
		return fmt.Errorf("line %d: %w", 1+strings.Count(before, "\n"), err)
	case errors.Is(err, io.EOF):
		return errors.New("it is empty")
	}
	return err
}

func (p *parsed) alert(severity event.Severity) event.Alert {
	a := event.Alert{
		ID: p.AlertID, DeliveryID: p.DeliveryID, Sequence: p.Sequence, State: event.AlertState(p.State), Kind: p.Kind, Provider: p.Provider, Tenant: p.Tenant,
		RuleID: p.RuleID, Title: p.Title, Summary: p.Summary, Severity: severity, Score: p.Score, Techniques: p.Techniques, Time: p.Time, Opened: p.Opened, Backfill: p.Backfill,
		App:       event.App{ID: p.App.ID, ObjectID: p.App.ObjectID, AppID: p.App.AppID, Name: p.App.Name, OwnerTenant: p.App.OwnerTenant},
		AppOrigin: p.App.Origin, AppTier: p.App.Tier, AppRisk: p.App.Risk,
		Actor:  event.Actor{Type: p.Actor.Type, ID: p.Actor.ID, Name: p.Actor.Name, UPN: p.Actor.UPN, AppID: p.Actor.AppID},
		Target: p.Target.entity(), Resource: p.Resource.entity(),
		Origin: event.Origin{IP: p.Source.IP, ASN: p.Source.AS.Number, ASOrg: p.Source.AS.Organization.Name, Country: p.Source.Geo.Country, City: p.Source.Geo.City},
		Action: p.Action, DedupeKey: p.DedupeKey, Count: p.Count, Reason: p.Reason,
	}
	if u := p.Upstream; u != nil {
		level, _ := event.ParseSeverity(u.Severity)
		a.Upstream = &event.Upstream{AlertID: u.AlertID, Severity: level, DetectionSource: u.DetectionSource, ServiceSource: u.ServiceSource}
	}
	return a
}
