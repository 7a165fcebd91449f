package rule

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

func appAccess() map[string]field {
	return map[string]field{
		"app.id":           ofBoth(func(e *event.Event) string { return e.App.ID }, func(v *event.AppView) string { return v.ID }),
		"app.object_id":    ofBoth(func(e *event.Event) string { return e.App.ObjectID }, func(v *event.AppView) string { return v.ObjectID }),
		"app.app_id":       ofBoth(func(e *event.Event) string { return e.App.AppID }, func(v *event.AppView) string { return v.AppID }),
		"app.name":         ofBoth(func(e *event.Event) string { return e.App.Name }, func(v *event.AppView) string { return v.Name }),
		"app.owner_tenant": ofBoth(func(e *event.Event) string { return e.App.OwnerTenant }, func(v *event.AppView) string { return v.OwnerTenant }),

		"app.kind":                    ofApp(func(v *event.AppView) string { return v.Kind }),
		"app.origin":                  {str: appOrigin},
		"app.first_party":             {truth: firstParty},
		"app.enabled":                 appTruth(func(v *event.AppView) Truth { return truthOf(v.Enabled) }),
		"app.publisher.name":          ofApp(func(v *event.AppView) string { return v.PublisherName }),
		"app.publisher.domain":        ofApp(func(v *event.AppView) string { return v.PublisherDomain }),
		"app.publisher.verified":      appTruth(func(v *event.AppView) Truth { return truthOf(v.PublisherVerified) }),
		"app.publisher.verified_name": ofApp(func(v *event.AppView) string { return v.VerifiedPublisher }),

		"app.tier":        appInt(func(v *event.AppView) (int64, bool) { return int64(v.Tier), v.Tier != 0 }),
		"app.permissions": appSet(func(v *event.AppView) set { return set{perms: v.Application, more: v.Delegated} }),
		"app.delegated":   appSet(func(v *event.AppView) set { return set{perms: v.Delegated} }),
		"app.application": appSet(func(v *event.AppView) set { return set{perms: v.Application} }),
		"app.tenant_wide": appTruth(func(v *event.AppView) Truth { return truthOf(v.TenantWide) }),
		"app.reply_urls":  appSet(func(v *event.AppView) set { return set{strs: v.ReplyURLs} }),
		"app.owners":      {set: owners},
	}
}

func appOrigin(env *Env) (string, bool) {
	origin := env.AppOrigin
	if env.App != nil && env.App.Origin != "" {
		origin = env.App.Origin
	}
	return origin, origin != ""
}

func firstParty(env *Env) Truth {
	origin, known := appOrigin(env)
	if !known {
		return Unknown
	}
	return truthOf(origin == "first_party")
}

func usageAccess() map[string]field {
	return map[string]field{
		"app.created":            appTime(func(v *event.AppView) time.Time { return v.Created }),
		"app.first_seen":         appTime(func(v *event.AppView) time.Time { return v.FirstSeen }),
		"app.last_seen":          appTime(func(v *event.AppView) time.Time { return v.LastSeen }),
		"app.last_used":          appTime(func(v *event.AppView) time.Time { return v.LastUsed }),
		"app.idle":               {num: idle},
		"app.users":              appInt(func(v *event.AppView) (int64, bool) { return int64(v.Users), true }),
		"app.risk":               {num: appRisk},
		"app.credentials":        appInt(func(v *event.AppView) (int64, bool) { return int64(len(v.Credentials)), true }),
		"app.credential_kinds":   appSet(func(v *event.AppView) set { return set{creds: v.Credentials} }),
		"app.next_expiry":        {num: nextExpiry},
		"app.last_expiry":        appTime(lastExpiry),
		"app.longest_credential": appInt(longestCredential),
	}
}

// idle is how long nobody signed in, up to where sign-ins were collected, and from when
// on the app was there: of one whose creation nobody tells, since it was first seen.
func idle(env *Env) (int64, bool) {
	v := env.App
	if v == nil || !v.UsedKnown || v.UsedThrough.IsZero() {
		return 0, false
	}
	since := v.LastUsed
	if since.IsZero() {
		since = v.UsedSince
		born := v.Created
		if born.IsZero() {
			born = v.FirstSeen
		}
		if born.After(since) {
			since = born
		}
	}
	if since.IsZero() {
		return 0, false
	}
	through := v.UsedThrough
	if env.Now.Before(through) {
		through = env.Now
	}
	return max(0, int64(through.Sub(since))), true
}

// owners is unknown, not empty, while owners are not collected.
func owners(env *Env) (set, bool) {
	if env.App == nil || !env.App.OwnersKnown {
		return set{}, false
	}
	return set{strs: env.App.Owners}, true
}

func nextExpiry(env *Env) (int64, bool) {
	if env.App == nil {
		return 0, false
	}
	var next time.Time
	for i := range env.App.Credentials {
		end := env.App.Credentials[i].End
		if end.After(env.Now) && (next.IsZero() || end.Before(next)) {
			next = end
		}
	}
	return nanos(next)
}

func lastExpiry(v *event.AppView) time.Time {
	var last time.Time
	for i := range v.Credentials {
		if v.Credentials[i].End.After(last) {
			last = v.Credentials[i].End
		}
	}
	return last
}

func longestCredential(v *event.AppView) (int64, bool) {
	longest, known := time.Duration(0), false
	for i := range v.Credentials {
		c := &v.Credentials[i]
		if !c.Start.IsZero() && !c.End.IsZero() {
			longest, known = max(longest, c.End.Sub(c.Start)), true
		}
	}
	return int64(longest), known
}
