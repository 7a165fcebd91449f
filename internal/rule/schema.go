package rule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/appgovd/appgovd/internal/event"
)

// grammar notes which attributes and blocks the compiler takes where, while it
// compiles a text that holds every block. A nil one notes nothing.
type grammar struct {
	blocks map[string]*grammarBlock
	within string // what blocks stand in whose path is their type alone
}

type grammarBlock struct {
	attributes, inner, required []string
	types                       map[string]attribute
}

// attribute is a schema of JSON Schema.
type attribute map[string]any

func (g *grammar) path(kind string) string {
	if g == nil || g.within == kind+"." {
		return kind
	}
	return g.within + kind
}

func (g *grammar) block(path string) *grammarBlock {
	if g.blocks[path] == nil {
		g.blocks[path] = &grammarBlock{types: map[string]attribute{}}
	}
	return g.blocks[path]
}

func (g *grammar) allow(path string, attributes, blocks []string) {
	if g != nil {
		x := g.block(path)
		x.attributes, x.inner = attributes, blocks
	}
}

func (g *grammar) note(path, name string, a attribute) {
	if g != nil {
		g.block(path).types[name] = a
	}
}

func (g *grammar) require(path, name string) {
	if g == nil {
		return
	}
	if x := g.block(path); !slices.Contains(x.required, name) {
		x.required = append(x.required, name)
	}
}

// everyBlock holds each block of the language once.
const everyBlock = `
list "l" {
  entry "x" {}
}
rule "a" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  threshold {
    count  = 1
    by     = []
    within = "1h"
  }
  first_seen {
    key     = [app.id]
    history = "1d"
  }
  compare {
    measure  = count()
    by       = []
    window   = "1h"
    baseline = "previous"
    above    = "300 %"
  }
  suppress {
    by  = []
    for = "1h"
  }
  risk {}
  alert {}
}
rule "b" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  absence {
    by  = [app.id]
    for = "1d"
  }
}
rule "c" {
  title    = "t"
  severity = "low"
  sequence {
    by     = [app.id]
    within = "1h"
    step "one" {
      on = ["app.added"]
      first_seen {
        key     = [app.id]
        history = "1d"
      }
    }
    step "two" {
      on = ["app.added"]
    }
  }
}
policy "p" {
  title    = "t"
  severity = "low"
  where    = true
  scope {}
  risk {}
  alert {}
}
exception "e" {
  rules  = ["a"]
  where  = true
  reason = "r"
  owner  = "o"
}
risk "app" {}
test "t" {
  rules = ["a"]
  app "x" {
    grant {
      scopes = ["a"]
    }
    credential "k" {}
  }
  event {
    action = "app.added"
  }
  fixture "every.json" {}
  tick {
    at = "1h"
  }
  risk {
    at    = "1h"
    app   = "x"
    score = 0
  }
  expect {
    rule = "a"
  }
  spared {
    exception = "e"
    hits      = 1
  }
}
`

// Schema is the language as JSON Schema (draft 2020-12) in the form that HCL has in
// JSON, for editors and checkers: blocks with their labels, attributes with their
// types as far as they are constants, and the names of actions, fields and
// functions. It is made by the compiler itself.
func Schema() ([]byte, error) {
	c := newChecker(time.UTC)
	c.grammar = &grammar{blocks: map[string]*grammarBlock{}}
	blob := &event.RulesBlob{Zone: "UTC", Files: []event.RulesFile{{Path: "every.hcl", Text: []byte(everyBlock)}, {Path: "every.json"}}}
	compileBy(c, blob, false)
	if c.diags.HasErrors() {
		return nil, fmt.Errorf("make schema of rules: %w", c.diags)
	}
	c.grammar.within = "test."
	if testsBy(c, blob); c.diags.HasErrors() {
		return nil, fmt.Errorf("make schema of tests: %w", c.diags)
	}
	top := attribute{}
	for _, name := range []string{"rule", "policy", "list", "exception", "risk", "test"} {
		top[name] = labelled(c.grammar.schema(name))
	}
	return json.MarshalIndent(attribute{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "appgovd rules", "type": "object",
		"properties": top, "additionalProperties": false,
		"$defs": attribute{
			"action":   attribute{"enum": actionNames()},
			"field":    attribute{"enum": keys(c.fields)},
			"function": attribute{"enum": keys(c.funcs)},
		},
	}, "", "  ")
}

func labelled(s attribute) attribute {
	return attribute{"type": "object", "additionalProperties": s}
}

// schema is the block of that path with all that stands in it.
func (g *grammar) schema(path string) attribute {
	b := g.block(path)
	if path == "test.event" {
		return attribute{"type": "object", "description": "at, repeat, every, and the fields of the event, nested as objects"}
	}
	properties := attribute{}
	for _, name := range b.attributes {
		properties[name] = b.types[name]
		if b.types[name] == nil {
			properties[name] = attribute{"description": "an expression, or a value"}
		}
		if name == "on" {
			properties[name] = attribute{"type": []string{"array", "string"}, "items": attribute{"$ref": "#/$defs/action"}}
		}
	}
	for _, name := range b.inner {
		s := g.schema(g.inner(path, name))
		if slices.Contains(strings.Fields("step entry app credential fixture"), name) {
			s = labelled(s)
		}
		if slices.Contains(strings.Fields("threshold grant event tick expect spared"), name) || path == "test" && name == "risk" {
			s = attribute{"type": []string{"array", "object"}, "items": s}
		}
		properties[name] = s
	}
	out := attribute{"type": "object", "properties": properties, "additionalProperties": false}
	if len(b.required) > 0 {
		out["required"] = slices.Sorted(slices.Values(b.required))
	}
	return out
}

// inner is the path of a block within another: the nearest one that was noted.
func (g *grammar) inner(path, name string) string {
	root, _, _ := strings.Cut(path, ".")
	for _, p := range []string{path + "." + name, root + "." + name} {
		if g.blocks[p] != nil {
			return p
		}
	}
	return name
}
