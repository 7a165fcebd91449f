package rule

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/diag"
)

// Files with permission tiers: the table, and an organisation's own rows that win
// over it.
const (
	TiersFile    = "permission_tiers.csv"
	OwnTiersFile = "permission_tiers.own.csv"
)

// tierTable grades permissions: by the organisation's own rows, then by those of the
// table; of each exact rows first, then patterns in the order of the file.
type tierTable struct {
	own      *tierTable // nil without
	exact    map[string]int8
	patterns []tierPattern
}

type tierPattern struct {
	api, kind, name string
	tier            int8
}

func newTierTable() *tierTable { return &tierTable{exact: map[string]int8{}} }

// tier grades one permission without allocating; 0 = unknown.
func (t *tierTable) tier(api, kind, name string) int8 {
	if t == nil || name == "" {
		return 0
	}
	if own := t.own.tier(api, kind, name); own > 0 {
		return own
	}
	api = apiID(api)
	var buf [160]byte
	if tier, ok := t.exact[string(tierKey(buf[:0], api, kind, name))]; ok {
		return tier
	}
	for i := range t.patterns {
		p := &t.patterns[i]
		if (p.api == "*" || strings.EqualFold(p.api, api)) && (p.kind == "*" || strings.EqualFold(p.kind, kind)) && globFold(p.name, name) {
			return p.tier
		}
	}
	return 0
}

func tierKey(dst []byte, api, kind, name string) []byte {
	dst = append(appendFold(dst, api), 0)
	dst = append(appendFold(dst, kind), 0)
	return appendFold(dst, name)
}

// apiID maps the names of well-known APIs to their app ids, and Microsoft Graph
// to "". The ids are listed in Microsoft's "Verify first-party Microsoft
// applications in sign-in reports".
func apiID(api string) string {
	switch {
	case api == "", strings.EqualFold(api, "Microsoft Graph"), strings.EqualFold(api, "graph"), api == "00000003-0000-0000-c000-000000000000":
		return ""
	case strings.EqualFold(api, "Office 365 Exchange Online"):
		return "00000002-0000-0ff1-ce00-000000000000"
	case strings.EqualFold(api, "Office 365 SharePoint Online"):
		return "00000003-0000-0ff1-ce00-000000000000"
	case strings.EqualFold(api, "Windows Azure Active Directory"):
		return "00000002-0000-0000-c000-000000000000"
	case strings.EqualFold(api, "Office 365 Management APIs"):
		return "c5393580-f805-4401-95e8-94b7a6ef2fc2"
	}
	return api
}

// read adds the rows of a CSV file with the columns api, kind, name, tier. Lines
// that begin with # are comments. A name with * is a pattern.
func (t *tierTable) read(path string, text []byte) hcl.Diagnostics {
	r := csv.NewReader(bytes.NewReader(text))
	r.Comment = '#'
	r.FieldsPerRecord = 4
	r.ReuseRecord = true
	var diags hcl.Diagnostics
	for first := true; ; first = false {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return diags
		}
		if err == nil && !(first && row[0] == "api") {
			err = t.row(row)
		}
		if err != nil {
			diags = append(diags, tierMistake(path, lineOf(r, err), err))
		}
		if len(diags) >= 20 {
			return diags
		}
	}
}

// lineOf is the line that an error is about.
func lineOf(r *csv.Reader, err error) int {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return bad.Line
	}
	line, _ := r.FieldPos(0)
	return line
}

func (t *tierTable) row(row []string) error {
	api, kind, name := apiID(strings.Clone(row[0])), strings.Clone(row[1]), strings.Clone(row[2])
	tier, err := strconv.ParseInt(row[3], 10, 8)
	switch {
	case err != nil || tier < 1 || tier > 4:
		return fmt.Errorf("tier %q is not 1, 2, 3 or 4", row[3])
	case kind != "application" && kind != "delegated" && kind != "*":
		return fmt.Errorf("kind %q is not application, delegated or *", kind)
	case name == "":
		return errors.New("the name is empty")
	}
	if strings.ContainsAny(name, "*?") || api == "*" || kind == "*" {
		t.patterns = append(t.patterns, tierPattern{api, kind, name, int8(tier)})
		return nil
	}
	key := string(tierKey(nil, api, kind, name))
	if _, twice := t.exact[key]; twice {
		return fmt.Errorf("%s permission %q stands there twice", kind, name)
	}
	t.exact[key] = int8(tier)
	return nil
}

func tierMistake(path string, line int, err error) *hcl.Diagnostic {
	at := hcl.Pos{Line: max(1, line), Column: 1}
	return &hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: "Bad row in the permission tiers", Detail: "Rows are api,kind,name,tier: " + err.Error() + ".",
		Subject: &hcl.Range{Filename: path, Start: at, End: at}, Extra: diag.Code("bad_tier_row"),
	}
}
