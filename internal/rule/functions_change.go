package rule

import (
	"strings"

	"github.com/appgovd/appgovd/internal/event"
)

func changeFunctions() map[string]function {
	return map[string]function{
		"added": {
			signature: "added(property)",
			doc:       "What a modified property has now and had not before, as a set; empty where it did not change. The property is named as the provider names it, ignoring case.",
			examples:  []Example{{`any_of(added("AppAddress"), "https://new.example")`, "true"}, {`length(added("Tags"))`, "0"}},
			event:     true,
			compile:   changeFunction(func(ch *event.Change) set { return difference(ch.New, ch.Old) }),
		},
		"removed": {
			signature: "removed(property)",
			doc:       "What a modified property had before and has no more, as a set.",
			examples:  []Example{{`length(removed("AppAddress"))`, "1"}},
			event:     true,
			compile:   changeFunction(func(ch *event.Change) set { return difference(ch.Old, ch.New) }),
		},
		"before": {
			signature: "before(property)",
			doc:       "All old values of a modified property, as a set.",
			examples:  []Example{{`any_of(before("AppAddress"), "https://old.example")`, "true"}},
			event:     true,
			compile:   changeFunction(func(ch *event.Change) set { return set{strs: ch.Old} }),
		},
		"after": {
			signature: "after(property)",
			doc:       "All new values of a modified property, as a set.",
			examples:  []Example{{`length(after("AppAddress"))`, "2"}},
			event:     true,
			compile:   changeFunction(func(ch *event.Change) set { return set{strs: ch.New} }),
		},
		"changed": {
			signature: "changed(property...)",
			doc:       "Whether the event modified one of the properties.",
			examples:  []Example{{`changed("appaddress")`, "true"}},
			event:     true,
			compile:   changedFunction,
		},
		"detail": {
			signature: "detail(name)",
			doc:       "The value of an additional detail of the record, by its name, ignoring case.",
			examples:  []Example{{`detail("User-Agent")`, "curl/8"}, {`detail("Nothing")`, "unknown"}},
			event:     true,
			compile:   detailFunction,
		},
	}
}

func findChange(e *event.Event, name string) *event.Change {
	for i := range e.Changes {
		if strings.EqualFold(e.Changes[i].Name, name) {
			return &e.Changes[i]
		}
	}
	return nil
}

func changeFunction(read func(*event.Change) set) func(*checker, *call) node {
	return func(c *checker, at *call) node {
		if !c.arity(at, 1, 1) {
			return bad()
		}
		names, ok := c.texts(at, 0)
		if !ok {
			return bad()
		}
		c.hints.property(at.rng, names)
		name := names[0]
		return node{kind: kindSet, cost: 10, set: func(env *Env) (set, bool) {
			if env.Event == nil {
				return set{}, false
			}
			ch := findChange(env.Event, name)
			if ch == nil {
				return set{}, true
			}
			return read(ch), true
		}}
	}
}

func changedFunction(c *checker, at *call) node {
	names, ok := c.texts(at, 0)
	if !ok {
		return bad()
	}
	c.hints.property(at.rng, names)
	return boolNode(5, func(env *Env) Truth {
		if env.Event == nil {
			return Unknown
		}
		for _, n := range names {
			if findChange(env.Event, n) != nil {
				return True
			}
		}
		return False
	})
}

func detailFunction(c *checker, at *call) node {
	if !c.arity(at, 1, 1) {
		return bad()
	}
	names, ok := c.texts(at, 0)
	if !ok {
		return bad()
	}
	name := names[0]
	return node{kind: kindString, cost: 5, str: func(env *Env) (string, bool) {
		if env.Event == nil {
			return "", false
		}
		for i := range env.Event.Details {
			if d := &env.Event.Details[i]; strings.EqualFold(d.Name, name) {
				return d.Value, d.Value != ""
			}
		}
		return "", false
	}}
}
