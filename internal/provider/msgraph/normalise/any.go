package normalise

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/appgovd/appgovd/internal/event"
)

// Record is one exported record and what it was. One of Event and Object is set.
type Record struct {
	Shape  string // "graph", "diagnostic", "log_analytics"
	Kind   string // "audit", "signin", "alert", an object kind
	Event  *event.Event
	Object *event.Object
}

// Any recognises and decodes one exported record: a Graph object, a
// diagnostic-settings envelope with Graph-shaped properties, or a flat row of
// Log Analytics.
func (d *Decoder) Any(raw []byte) (Record, error) {
	o, err := parse(raw)
	if err != nil {
		return Record{}, err
	}
	category := o.str("category", "Category")
	if p := o.object("properties"); p != nil && (category != "" || o["operationName"] != nil) {
		body, _ := jsontextOf(p)
		return d.decode("diagnostic", kindOf(category, p), signInKind(object{"category": o["category"]}), body)
	}
	shape := "graph"
	if o["TimeGenerated"] != nil || o["Type"] != nil && o["OperationName"] != nil {
		shape = "log_analytics"
	}
	return d.decode(shape, kindOf(o.str("Type"), o), "", raw)
}

func jsontextOf(o object) ([]byte, error) {
	raw, _, err := canonical(o)
	return raw, err
}

// kindOf names the kind by category or table, else by the members that only it
// has.
func kindOf(category string, o object) string {
	switch c := strings.ToLower(category); {
	case strings.Contains(c, "signin"):
		return "signin"
	case c == "auditlogs":
		return "audit"
	}
	switch {
	case o["activityDisplayName"] != nil || o["ActivityDisplayName"] != nil:
		return "audit"
	case o["createdDateTime"] != nil && o["status"] != nil && o["ipAddress"] != nil:
		return "signin"
	case o["providerAlertId"] != nil || o["serviceSource"] != nil:
		return "alert"
	case o["consentType"] != nil && o["clientId"] != nil:
		return event.ObjectDelegatedGrant
	case o["appRoleId"] != nil && o["principalId"] != nil:
		return event.ObjectAppRoleAssignment
	case o["servicePrincipalType"] != nil || o["appOwnerOrganizationId"] != nil || o["servicePrincipalNames"] != nil:
		return event.ObjectServicePrincipal
	case o["appId"] != nil && (o["signInAudience"] != nil || o["requiredResourceAccess"] != nil || o["identifierUris"] != nil):
		return event.ObjectApplication
	}
	return ""
}

func (d *Decoder) decode(shape, kind, signIn string, raw []byte) (Record, error) {
	r := Record{Shape: shape, Kind: kind}
	var err error
	var e event.Event
	var o event.Object
	switch kind {
	case "audit":
		e, err = d.Audit(raw)
		r.Event = &e
	case "signin":
		e, err = d.SignIn(signIn, raw)
		r.Event = &e
	case "alert":
		e, err = d.Alert(raw)
		r.Event = &e
	case event.ObjectApplication:
		o, err = d.Application(raw)
		r.Object = &o
	case event.ObjectServicePrincipal:
		o, err = d.ServicePrincipal(raw)
		r.Object = &o
	case event.ObjectDelegatedGrant:
		o, err = d.DelegatedGrant(raw)
		r.Object = &o
	case event.ObjectAppRoleAssignment:
		o, err = d.AppRoleAssignment(raw)
		r.Object = &o
	default:
		err = refuse("unknown_shape", "neither an audit, a sign-in, an alert nor an object that is known")
	}
	if err != nil {
		return Record{Shape: shape, Kind: kind}, err
	}
	return r, nil
}

// maxRecord bounds one record of a file.
const maxRecord = 16 << 20

// Records splits an exported file into records: JSON lines, concatenated
// values, an array, a page with "value", a blob with "records". fn must not
// keep raw.
func Records(r io.Reader, fn func(raw []byte) error) error {
	in := bufio.NewReaderSize(r, 64<<10)
	if bom, err := in.Peek(3); err == nil && string(bom) == "\xef\xbb\xbf" {
		_, _ = in.Discard(3)
	}
	dec := jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		switch kind := dec.PeekKind(); kind {
		case '[':
			if err := elements(dec, fn); err != nil {
				return err
			}
		default:
			v, err := dec.ReadValue()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("read records: %w", err)
			}
			if err := spread(v, fn); err != nil {
				return err
			}
		}
	}
}

func elements(dec *jsontext.Decoder, fn func([]byte) error) error {
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	for dec.PeekKind() != ']' {
		v, err := dec.ReadValue()
		if err != nil {
			return fmt.Errorf("read records: %w", err)
		}
		if err := spread(v, fn); err != nil {
			return err
		}
	}
	_, err := dec.ReadToken()
	return err
}

// spread hands on a record, or the records of a page.
func spread(v jsontext.Value, fn func([]byte) error) error {
	if len(v) > maxRecord {
		return fmt.Errorf("read records: a value of %d bytes, at most %d", len(v), maxRecord)
	}
	if v.Kind() == '{' {
		o := decode[object](v)
		for _, name := range []string{"value", "records"} {
			if list := o[name]; len(list) > 0 && list.Kind() == '[' {
				for _, x := range decode[[]jsontext.Value](list) {
					if err := fn(x); err != nil {
						return err
					}
				}
				return nil
			}
		}
	}
	return fn(v)
}
