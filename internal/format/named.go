package format

import (
	"fmt"
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

// Encoder appends one alert as one document on one line.
type Encoder = func(dst []byte, a *event.Alert) []byte

// Names are what configuration may call an encoder, the default first.
func Names() []string { return []string{"ecs", "json", "ocsf", "cim", "cef", "leef"} }

// Named is the encoder that configuration calls name; "" is the default.
func Named(name string) (Encoder, error) {
	switch name {
	case "", "ecs":
		return AppendECS, nil
	case "json":
		return AppendJSON, nil
	case "ocsf":
		return AppendOCSF, nil
	case "cim":
		return AppendCIM, nil
	case "cef":
		return AppendCEF, nil
	case "leef":
		return AppendLEEF, nil
	}
	return nil, fmt.Errorf("format is %q; it must be one of %s", name, strings.Join(Names(), ", "))
}

// IsJSON tells whether the documents of that format are JSON.
func IsJSON(name string) bool { return name != "cef" && name != "leef" }
