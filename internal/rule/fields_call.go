package rule

import "github.com/appgovd/appgovd/internal/event"

// callAccess are the fields of a call to the provider's API: unknown on other events.
func callAccess() map[string]field {
	return map[string]field{
		"call.method":         ofCall(func(c *event.Call) string { return c.Method }),
		"call.workload":       ofCall(func(c *event.Call) string { return c.Workload }),
		"call.endpoint":       ofCall(func(c *event.Call) string { return c.Endpoint }),
		"call.uri":            ofCall(func(c *event.Call) string { return c.URI }),
		"call.api_version":    ofCall(func(c *event.Call) string { return c.APIVersion }),
		"call.status":         callNumber(func(c *event.Call) (int64, bool) { return int64(c.Status), c.Status != 0 }),
		"call.response_bytes": callNumber(func(c *event.Call) (int64, bool) { return c.Bytes, c.BytesKnown }),
		"call.duration":       callNumber(func(c *event.Call) (int64, bool) { return int64(c.Duration), c.Duration != 0 }),
		"call.permissions": {set: func(env *Env) (set, bool) {
			if env.Event == nil || env.Event.Call == nil {
				return set{}, false
			}
			return set{strs: env.Event.Call.Permissions}, true
		}},
	}
}

func ofCall(get func(*event.Call) string) field {
	return ofEvent(func(e *event.Event) string {
		if e.Call == nil {
			return ""
		}
		return get(e.Call)
	})
}

func callNumber(get func(*event.Call) (int64, bool)) field {
	return field{num: func(env *Env) (int64, bool) {
		if env.Event == nil || env.Event.Call == nil {
			return 0, false
		}
		return get(env.Event.Call)
	}}
}
