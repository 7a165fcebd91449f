package rule

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A file of a list is CSV with a header line, or a JSON array of objects. The
// column "entry" (in CSV the first one where none bears that name) is the entry,
// "until" its end, "comment" is for people, and every other one an attribute.

const maxEntries = 200_000

// listFile reads the file that a list names, beside the file that it stands in.
func (c *checker) listFile(l *list, b block) {
	name, at := b.text("file")
	if name == "" {
		return
	}
	where := path.Join(path.Dir(b.rng.Filename), name)
	text, ok := c.files[where]
	if !ok || path.IsAbs(name) {
		c.fail(at, "unknown_file", "Unknown file", "There is no file %q below the rules directories.%s", where, suggest(where, tables(c.files)))
		return
	}
	read := readCSV
	if strings.HasSuffix(name, ".json") {
		read = readJSON
	}
	n := 0
	err := read(text, func(place string, row map[string]string) error {
		if n++; n > maxEntries {
			return fmt.Errorf("%s: more than %d entries", place, maxEntries)
		}
		return c.row(l, place, row)
	})
	if err != nil {
		c.fail(at, "bad_list_file", "Bad list file", "%s: %s.", where, err)
	}
}

// tables are the files that can be a list.
func tables(files map[string][]byte) []string {
	var out []string
	for _, name := range keys(files) {
		if ext := path.Ext(name); ext == ".csv" || ext == ".json" {
			out = append(out, name)
		}
	}
	return out
}

// row takes one entry from a file.
func (c *checker) row(l *list, place string, row map[string]string) error {
	entry := strings.TrimSpace(row["entry"])
	if entry == "" {
		return fmt.Errorf("%s: the entry is empty", place)
	}
	until := int64(forever)
	if s := row["until"]; s != "" {
		t, err := parseTime(s, c.zone)
		if err != nil {
			return fmt.Errorf("%s: %w", place, err)
		}
		until, _ = nanos(t)
	}
	l.add(entry, until)
	for name, v := range row {
		if name != "entry" && name != "until" && name != "comment" {
			l.say(entry, name, v)
		}
	}
	return nil
}

func readCSV(text []byte, each func(string, map[string]string) error) error {
	r := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	r.Comment, r.TrimLeadingSpace = '#', true
	head, err := r.Read()
	if err != nil {
		return errors.New("a header line is expected, such as entry,comment,until")
	}
	first := head[0]
	for _, name := range head {
		if name == "entry" {
			first = name
		}
	}
	for {
		rec, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		row := map[string]string{}
		for i, name := range head {
			if name == first {
				name = "entry"
			}
			row[strings.TrimSpace(name)] = rec[i]
		}
		line, _ := r.FieldPos(0)
		if err := each("line "+strconv.Itoa(line), row); err != nil {
			return err
		}
	}
}

func readJSON(text []byte, each func(string, map[string]string) error) error {
	var rows []map[string]any
	if err := json.Unmarshal(text, &rows); err != nil {
		return errors.New("an array of objects is expected, such as [{\"entry\": \"x\", \"team\": \"y\"}]: " + err.Error())
	}
	for i, r := range rows {
		place := "element " + strconv.Itoa(i+1)
		row := map[string]string{}
		for name, v := range r {
			switch v := v.(type) {
			case nil:
			case string:
				row[name] = v
			case bool:
				row[name] = strconv.FormatBool(v)
			case float64:
				row[name] = strconv.FormatFloat(v, 'f', -1, 64)
			default:
				return fmt.Errorf("%s: %q is a list or an object; attributes are texts, numbers, true or false", place, name)
			}
		}
		if err := each(place, row); err != nil {
			return err
		}
	}
	return nil
}

// entryAttributes reads attributes = { name = "value" } of an entry block.
func (c *checker) entryAttributes(l *list, entry string, b block) {
	a, ok := b.attr("attributes")
	if !ok {
		return
	}
	o, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
	if !ok {
		c.fail(a.Expr.Range(), "wrong_type", "Wrong type", "attributes is written as { team = \"messaging\" }.")
		return
	}
	for _, item := range o.Items {
		name := hcl.ExprAsKeyword(item.KeyExpr)
		v, _ := constant(item.ValueExpr)
		s, isText := v.(string)
		if name == "" || !isText {
			c.fail(item.ValueExpr.Range(), "wrong_type", "Wrong type", "An attribute of an entry is a name and a constant string.")
			continue
		}
		l.say(entry, name, s)
	}
}
