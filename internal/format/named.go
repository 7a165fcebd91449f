package format

import (
	"fmt"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// Encoder appends one alert as one document on one line.
type Encoder = func(dst []byte, a *event.Alert) []byte

// Names are what configuration may call an encoder, the default first.
func Names() []string { return []string{"ecs", "json", "ocsf", "cim", "cef", "leef"} }

// Named is the encoder that configuration calls name; "" is the default. Its documents of
// alerts have the pages of links: the first of them, or the provider's own page, in the
// format's own field, and those that have none by name where there is a place for them.
func Named(name string, links Links) (Encoder, error) {
	ecs := func(dst []byte, a *event.Alert, pages []Link) []byte {
		return appendECS(dst, a, pages, "default", time.Time{})
	}
	encode, ok := map[string]encoder{"": ecs, "ecs": ecs, "json": appendJSON, "ocsf": appendOCSF, "cim": appendCIM, "cef": appendCEF, "leef": appendLEEF}[name]
	if !ok {
		return nil, fmt.Errorf("format is %q; it must be one of %s", name, strings.Join(Names(), ", "))
	}
	return linked(links, encode), nil
}

// encoder is an Encoder that is given the pages of the alert.
type encoder func(dst []byte, a *event.Alert, pages []Link) []byte

// linked gives alerts their pages; an event has none.
func linked(links Links, encode encoder) Encoder {
	return func(dst []byte, a *event.Alert) []byte {
		if a.Event != nil {
			return encode(dst, a, nil)
		}
		return encode(dst, a, links.Of(a))
	}
}

// IsJSON tells whether the documents of that format are JSON.
func IsJSON(name string) bool { return name != "cef" && name != "leef" }
