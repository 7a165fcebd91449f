package event

import (
	"bytes"
	"fmt"
)

func (e *Event) fields(c *coder) {
	c.id(1, &e.ID)
	c.id(2, &e.Content)
	number(c, 3, &e.Version)
	c.str(4, &e.Provider)
	c.str(5, &e.Tenant)
	c.str(6, &e.Source)
	c.str(7, &e.Class)
	c.str(8, &e.UpstreamID)
	c.time(9, &e.Time)
	c.time(10, &e.Observed)
	c.str(11, &e.Action)
	c.str(12, &e.Activity)
	c.str(13, &e.Category)
	c.str(14, &e.Service)
	text(c, 15, &e.Result)
	c.str(16, &e.ResultCode)
	c.str(17, &e.ResultReason)
	c.str(18, &e.CorrelationID)
	c.bool(19, &e.Backfill)
	c.bool(20, &e.Derived)
	c.sub(21, &e.Actor)
	c.sub(22, &e.App)
	c.sub(23, &e.Target)
	c.sub(24, &e.Resource)
	c.sub(25, &e.Origin)
	c.sub(26, &e.Credential)
	c.sub(27, &e.Consent)
	c.sub(28, &e.SignIn)
	list(c, 29, &e.Permissions)
	list(c, 30, &e.Changes)
	list(c, 31, &e.Details)
	opt(c, 32, &e.Upstream)
	c.strs(33, &e.Notes)
	c.bytes(34, &e.Raw)
	opt(c, 35, &e.Call)
}

func (c *Call) fields(k *coder) {
	k.str(1, &c.Method)
	k.str(2, &c.Workload)
	k.str(3, &c.Endpoint)
	k.str(4, &c.URI)
	k.str(5, &c.APIVersion)
	number(k, 6, &c.Status)
	number(k, 7, &c.Bytes)
	k.bool(8, &c.BytesKnown)
	number(k, 9, &c.Duration)
	k.strs(10, &c.Permissions)
}

func (r *Rollup) fields(c *coder) {
	c.time(1, &r.Minute)
	c.str(2, &r.App)
	c.str(3, &r.Workload)
	c.str(4, &r.Endpoint)
	number(c, 5, &r.Status)
	c.uint(6, &r.Calls)
	number(c, 7, &r.Bytes)
	c.uint(8, &r.Sized)
	c.sub(9, &r.Users)
}

func (d *Distinct) fields(c *coder) {
	c.fixed(1, &d.Few)
	var b []byte
	if c.encoding && d.Registers != nil {
		b = d.Registers[:]
	}
	c.bytes(2, &b)
	switch {
	case c.encoding || b == nil || c.err != nil:
	case len(b) != registers:
		c.err = fmt.Errorf("field 2 has %d bytes, want %d registers", len(b), registers)
	default:
		d.Registers = (*[registers]uint8)(bytes.Clone(b))
	}
}

func (a *Actor) fields(c *coder) {
	c.str(1, &a.Type)
	c.str(2, &a.ID)
	c.str(3, &a.Name)
	c.str(4, &a.UPN)
	c.str(5, &a.AppID)
}

func (a *App) fields(c *coder) {
	c.str(1, &a.ID)
	c.str(2, &a.ObjectID)
	c.str(3, &a.AppID)
	c.str(4, &a.Name)
	c.str(5, &a.OwnerTenant)
}

func (e *Entity) fields(c *coder) {
	c.str(1, &e.Type)
	c.str(2, &e.ID)
	c.str(3, &e.AppID)
	c.str(4, &e.Name)
	c.str(5, &e.UPN)
}

func (o *Origin) fields(c *coder) {
	c.str(1, &o.IP)
	number(c, 2, &o.ASN)
	c.str(3, &o.ASOrg)
	c.str(4, &o.Country)
	c.str(5, &o.City)
	c.str(6, &o.UserAgent)
}

func (k *Credential) fields(c *coder) {
	c.str(1, &k.KeyID)
	c.str(2, &k.Kind)
	c.str(3, &k.Name)
	c.str(4, &k.Thumbprint)
	c.time(5, &k.Start)
	c.time(6, &k.End)
	c.str(7, &k.Issuer)
	c.str(8, &k.Subject)
}

func (k *Consent) fields(c *coder) {
	c.str(1, &k.Type)
	c.bool(2, &k.Admin)
	c.bool(3, &k.AdminSet)
	c.bool(4, &k.AppOnly)
	c.str(5, &k.OnBehalf)
	c.strs(6, &k.Scopes)
}

func (p *Permission) fields(c *coder) {
	c.str(1, &p.Kind)
	c.str(2, &p.Name)
	c.str(3, &p.ID)
	c.str(4, &p.Resource)
	c.str(5, &p.API)
	c.bool(6, &p.Removed)
	number(c, 7, &p.Tier)
}

func (d *Change) fields(c *coder) {
	c.str(1, &d.Name)
	c.strs(2, &d.Old)
	c.strs(3, &d.New)
}

func (d *Detail) fields(c *coder) {
	c.str(1, &d.Name)
	c.str(2, &d.Value)
}

func (s *SignIn) fields(c *coder) {
	c.str(1, &s.Kind)
	c.str(2, &s.CredentialType)
	c.str(3, &s.CredentialKeyID)
	c.str(4, &s.Thumbprint)
	c.str(5, &s.Protocol)
	c.str(6, &s.ClientApp)
	c.str(7, &s.UserType)
	c.str(8, &s.RiskLevel)
	c.str(9, &s.ConditionalAccess)
	c.str(10, &s.UniqueToken)
	c.str(11, &s.SessionID)
	c.str(12, &s.ResourceOwnerTenant)
}

func (u *Upstream) fields(c *coder) {
	c.str(1, &u.AlertID)
	c.str(2, &u.ProviderAlertID)
	c.str(3, &u.Status)
	number(c, 4, &u.Severity)
	c.str(5, &u.Title)
	c.str(6, &u.Description)
	c.str(7, &u.DetectionSource)
	c.str(8, &u.ServiceSource)
	c.str(9, &u.Category)
	c.strs(10, &u.Techniques)
	c.str(11, &u.PolicyID)
	c.str(12, &u.Classification)
	c.str(13, &u.URL)
	c.str(14, &u.IncidentURL)
	c.time(15, &u.Created)
	c.time(16, &u.Updated)
	c.time(17, &u.Resolved)
}

func (o *Object) fields(c *coder) {
	c.str(1, &o.Kind)
	c.str(2, &o.ID)
	c.str(3, &o.Removed)
	opt(c, 4, &o.App)
	optIn(c, 5, &o.Grant, c.grant)
	c.id(6, &o.Content)
	opt(c, 7, &o.Trait)
}

func (t *Trait) fields(c *coder) {
	c.str(1, &t.About)
	list(c, 2, &t.Properties)
}

func (p *Property) fields(c *coder) {
	c.str(1, &p.Name)
	c.strs(2, &p.Values)
}

func (a *AppObject) fields(c *coder) {
	number(c, 1, &a.Has)
	c.str(2, &a.AppID)
	c.str(3, &a.Name)
	c.str(4, &a.Kind)
	c.str(5, &a.OwnerTenant)
	c.str(6, &a.PublisherName)
	c.str(7, &a.PublisherDomain)
	c.str(8, &a.VerifiedPublisher)
	c.str(9, &a.VerifiedPublisherID)
	c.str(10, &a.SignInAudience)
	c.bool(11, &a.Enabled)
	c.str(12, &a.DisabledByMicrosoft)
	c.str(13, &a.Homepage)
	c.strs(14, &a.ReplyURLs)
	c.strs(15, &a.IdentifierURIs)
	c.strs(16, &a.Tags)
	c.time(17, &a.Created)
	list(c, 18, &a.Credentials)
	list(c, 19, &a.Roles)
	c.strs(20, &a.Owners)
	c.strs(21, &a.WebURLs)
	c.strs(22, &a.SPAURLs)
	c.strs(23, &a.ClientURLs)
}

func (r *RoleDef) fields(c *coder) {
	c.str(1, &r.ID)
	c.str(2, &r.Value)
	c.str(3, &r.Kind)
}

func (g *GrantObject) fields(c *coder) {
	c.str(1, &g.Client)
	c.str(2, &g.Resource)
	c.str(3, &g.ConsentType)
	c.str(4, &g.Principal)
	c.strs(5, &g.Scopes)
	c.str(6, &g.RoleID)
	c.str(7, &g.ClientName)
	c.time(8, &g.Created)
}

func (s *Sync) fields(c *coder) {
	c.str(1, &s.Scope)
	c.str(2, &s.Kind)
	c.str(3, &s.Parent)
	number(c, 4, &s.Generation)
	c.bool(5, &s.Complete)
	c.bool(6, &s.Baseline)
}

func (a *Alert) fields(c *coder) {
	c.id(1, &a.ID)
	c.id(2, &a.DeliveryID)
	number(c, 3, &a.Sequence)
	text(c, 4, &a.State)
	c.str(5, &a.Kind)
	c.str(6, &a.Provider)
	c.str(7, &a.Tenant)
	c.str(8, &a.RuleID)
	c.str(9, &a.RuleRevision)
	c.str(10, &a.Title)
	c.str(11, &a.Summary)
	number(c, 12, &a.Severity)
	number(c, 13, &a.Score)
	c.strs(14, &a.Techniques)
	c.strs(15, &a.References)
	c.time(16, &a.Time)
	c.time(17, &a.Opened)
	c.bool(18, &a.Backfill)
	c.sub(19, &a.App)
	c.str(20, &a.AppOrigin)
	number(c, 21, &a.AppTier)
	c.sub(22, &a.Actor)
	c.sub(23, &a.Target)
	c.sub(24, &a.Resource)
	c.sub(25, &a.Origin)
	c.str(26, &a.Action)
	c.str(27, &a.DedupeKey)
	number(c, 28, &a.Count)
	list(c, 29, &a.Evidence)
	number(c, 30, &a.EvidenceTotal)
	c.str(31, &a.Reason)
	list(c, 32, &a.Labels)
	opt(c, 33, &a.Upstream)
	number(c, 34, &a.AppRisk)
	opt(c, 35, &a.Group)
	opt(c, 36, &a.Event)
}

func (g *Group) fields(c *coder) {
	c.str(1, &g.Route)
	list(c, 2, &g.Labels)
	c.uint(3, &g.Total)
	c.uint(4, &g.Open)
	list(c, 5, &g.Severities)
	list(c, 6, &g.Rules)
	c.time(7, &g.First)
	c.time(8, &g.Last)
	list(c, 9, &g.Members)
	c.uint(10, &g.Silenced)
	c.uint(11, &g.Inhibited)
	c.uint(12, &g.Counted)
	c.uint(13, &g.Groups)
}

func (s *SeverityCount) fields(c *coder) {
	number(c, 1, &s.Severity)
	c.uint(2, &s.Alerts)
}

func (r *RuleCount) fields(c *coder) {
	c.str(1, &r.RuleID)
	c.uint(2, &r.Alerts)
}

func (m *Member) fields(c *coder) {
	c.id(1, &m.ID)
	c.str(2, &m.RuleID)
	number(c, 3, &m.Severity)
	c.str(4, &m.Title)
}

func (e *Evidence) fields(c *coder) {
	c.id(1, &e.EventID)
	c.str(2, &e.UpstreamID)
	c.time(3, &e.Time)
	c.str(4, &e.Action)
	c.str(5, &e.Activity)
	c.str(6, &e.Summary)
}

func (f *Frame) fields(c *coder) {
	number(c, 1, &f.Kind)
	c.time(2, &f.Time)
	c.str(3, &f.Source)
	c.bytes(4, &f.Mark)
	c.sub(5, &f.Account)
	records(c, 6, &f.Events, func(p *Packed) *[][]byte { return &p.events })
	records(c, 7, &f.Objects, func(p *Packed) *[][]byte { return &p.objects })
	opt(c, 8, &f.Sync)
	list(c, 9, &f.Quarantined)
	list(c, 10, &f.Gaps)
	list(c, 11, &f.CompleteThrough)
	opt(c, 12, &f.Rules)
	records(c, 13, &f.Alerts, func(p *Packed) *[][]byte { return &p.alerts })
	list(c, 14, &f.Warmed)
	list(c, 15, &f.Rollups)
	list(c, 16, &f.Verdicts)
	c.bytes(17, &f.Notify)
}

func (v *Verdict) fields(c *coder) {
	number(c, 1, &v.LSN)
	number(c, 2, &v.Index)
	c.str(3, &v.Outcome)
	c.str(4, &v.Reason)
}

func (a *Account) fields(c *coder) {
	number(c, 1, &a.Fetched)
	number(c, 2, &a.New)
	number(c, 3, &a.Seen)
	number(c, 4, &a.Quarantined)
	number(c, 5, &a.Gap)
}

func (q *Quarantine) fields(c *coder) {
	c.str(1, &q.Source)
	c.str(2, &q.Reason)
	c.str(3, &q.Detail)
	c.bytes(4, &q.Raw)
}

func (g *Gap) fields(c *coder) {
	c.str(1, &g.Source)
	c.time(2, &g.From)
	c.time(3, &g.To)
	number(c, 4, &g.Records)
	c.str(5, &g.Reason)
	c.str(6, &g.Advice)
}

func (s *SourceTime) fields(c *coder) {
	c.str(1, &s.Source)
	c.time(2, &s.Time)
}

func (w *Warmed) fields(c *coder) {
	c.str(1, &w.Rule)
	c.bytes(2, &w.State)
}

func (r *RulesBlob) fields(c *coder) {
	c.str(1, &r.Engine)
	list(c, 2, &r.Files)
	c.str(3, &r.Zone)
	c.strs(4, &r.Own)
}

func (r *RulesFile) fields(c *coder) {
	c.str(1, &r.Path)
	c.bytes(2, &r.Text)
}

func (d *DeadLetter) fields(c *coder) {
	c.str(1, &d.Sink)
	c.time(2, &d.Time)
	c.str(3, &d.Reason)
	number(c, 4, &d.Attempts)
	c.sub(5, &d.Position)
	c.sub(6, &d.Alert)
	c.id(7, &d.ID)
	c.str(8, &d.Outcome)
}

func (p *Position) fields(c *coder) {
	number(c, 1, &p.LSN)
	number(c, 2, &p.Index)
}
