rule "thresholds" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  threshold { # ERROR 3-12: Missing by: A threshold needs by: what is counted together, such as [app.id]; [] counts all together.
    count  = 0 # ERROR 14-15: Bad number: count must be an integer from 1 to 1000000.
    within = "1 hour" # ERROR 14-22: Bad duration: "1 hour" is not a duration such as "90d", "12h" or "1d12h"; the units are w, d, h, m and s.
  }
  first_seen {
    key     = [null] # ERROR 16-20: Wrong type: An element of key must be a string, an int, a bool, a time, a duration, a string set or a permission set; this is a null.
    history = "0d" # ERROR 15-19: Bad duration: history must be longer than nothing.
  }
  suppress { # ERROR 3-11: Missing by: A suppress needs by: what is silenced together, such as [app.id]. # ERROR 3-11: Missing for: A suppress needs for: how long, such as "24h".
  }
  suppress { # ERROR 3-11: Block given twice: A rule block has one suppress block at most.
    by  = [app.id]
    for = "1h"
  }
  alert "x" { # ERROR 9-12: Label not expected: An alert block has no label.
    summry = "s" # ERROR 5-11: Unknown attribute: An alert block has no attribute "summry". Did you mean "summary"?
  }
  sequence { # ERROR 3-11: Unknown block: A rule block has no block "sequence".
  }
}

policy "scope" {
  title    = "t"
  severity = "low"
  where    = actor.id == "x" || length(added("x")) > 0 # ERROR 14-22: Field of an event in a policy: "actor.id" belongs to an event; a policy looks at the inventory, at no event. Use app.* fields. # ERROR 40-50: Function of an event in a policy: added asks an event; a policy looks at the inventory, at no event.
  scope {
    only = ["nobody"] # ERROR 13-21: Unknown list: There is no list "nobody".
  }
}

rule "at_most_alone" {
  title    = "Of ${app.nam}" # ERROR 20-27: Unknown field: There is no field "app.nam". Did you mean "app.name"?
  severity = app.tier == "1" ? "hgh" : app.name # ERROR 14-29: Wrong type: An int and a string cannot be compared this way. # ERROR 32-37: Bad severity: "hgh" is none of informational, low, medium, high, critical. Did you mean "high"? # ERROR 40-48: Not a constant: A computed severity chooses between constants, such as app.tier == 1 ? "critical" : "high".
  on       = ["app.added"]
  threshold "only" { # ERROR 3-19: Nothing counts up: A threshold with at_most only holds alerts back; beside it the rule needs one with count.
    at_most = 0
    where   = app.name # ERROR 15-23: Wrong type: where must be a bool; this is a string.
    by      = [app.id]
    within  = "1h"
  }
  alert {
    max_evidence = 0 # ERROR 20-21: Bad number: max_evidence must be an integer from 1 to 1000.
  }
}

rule "both" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  threshold {
    count    = 1 # ERROR 5-10: Both count and at_most: A threshold asks for count or more, or for at_most or fewer; write two blocks for both.
    at_most  = 1
    sum      = app.name # ERROR 5-8: Both distinct and sum: A threshold counts different values or adds up a number, not both. # ERROR 16-24: Wrong type: sum must be an int; this is a string.
    distinct = app.name
    by       = []
    within   = "1h"
  }
  threshold { # ERROR 3-12: Missing count: A threshold needs count: how many matches make an alert.
    by     = []
    within = "1h"
  }
  first_seen {
    key     = [app.id]
    history = "30d"
    at_most = -1 # ERROR 15-17: Bad number: at_most must be an integer from 0 to 100.
  }
}
