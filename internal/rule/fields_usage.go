package rule

import (
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Usage tells of the use of apps, in parts: the inventory. v may hold the ids of an app
// alone.
type Usage interface {
	UsageOf(v *event.AppView, now time.Time, parts event.UseParts) event.AppUsage
}

// figureAccess are the fields of the use of an app, each for the last whole day, for the
// day at hand so far and as the mean of the whole days before it.
func figureAccess() map[string]field {
	out := map[string]field{"app.is_appgovd": {truth: func(env *Env) Truth {
		u, known := usageOf(env, 0)
		if !known {
			return Unknown
		}
		return truthOf(u.Self)
	}}}
	for suffix, part := range map[string]struct {
		event.UseParts
		of func(event.AppUsage) event.UseFigures
	}{
		"":       {event.UsePast, func(u event.AppUsage) event.UseFigures { return u.Day }},
		"_today": {event.UseToday, func(u event.AppUsage) event.UseFigures { return u.Today }},
		"_mean":  {event.UsePast, func(u event.AppUsage) event.UseFigures { return u.Mean }},
	} {
		for name, get := range map[string]func(event.UseFigures) (int64, bool){
			"calls":           func(f event.UseFigures) (int64, bool) { return f.Calls, f.CallsKnown },
			"call_errors":     func(f event.UseFigures) (int64, bool) { return f.Errors, f.CallsKnown },
			"call_users":      func(f event.UseFigures) (int64, bool) { return f.Users, f.UsersKnown },
			"response_bytes":  func(f event.UseFigures) (int64, bool) { return f.Bytes, f.BytesKnown },
			"signins":         func(f event.UseFigures) (int64, bool) { return f.SignIns, f.SignInsKnown },
			"signin_failures": func(f event.UseFigures) (int64, bool) { return f.Failures, f.SignInsKnown },
		} {
			out["app."+name+suffix] = field{num: func(env *Env) (int64, bool) {
				u, known := usageOf(env, part.UseParts)
				if !known {
					return 0, false
				}
				n, known := get(part.of(u))
				return n, known
			}}
		}
	}
	return out
}

func usageOf(env *Env, parts event.UseParts) (event.AppUsage, bool) {
	switch {
	case env.Usage == nil:
		return event.AppUsage{}, false
	case env.App != nil:
		return env.Usage.UsageOf(env.App, env.Now, parts), true
	case env.Event != nil && env.Event.App.Key() != "":
		a := env.Event.App
		return env.Usage.UsageOf(&event.AppView{ID: a.ID, AppID: a.AppID, ObjectID: a.ObjectID}, env.Now, parts), true
	}
	return event.AppUsage{}, false
}
