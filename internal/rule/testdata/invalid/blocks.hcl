rule "thresholds" {
  title    = "t"
  severity = "low"
  on       = ["app.added"] # ERROR 3-5: Belongs into the steps: The steps of a sequence say each what they look at; the rule itself has no on.
  threshold { # ERROR 3-12: Nothing beside a sequence: A rule with a sequence has no threshold block; a step may have a first_seen. # ERROR 3-12: Missing by: A threshold needs by: what is counted together, such as [app.id]; [] counts all together.
    count  = 0 # ERROR 14-15: Bad number: count must be an integer from 1 to 1000000.
    within = "1 hour" # ERROR 14-22: Bad duration: "1 hour" is not a duration such as "90d", "12h" or "1d12h"; the units are w, d, h, m and s.
  }
  first_seen { # ERROR 3-13: Nothing beside a sequence: A rule with a sequence has no first_seen block; a step may have a first_seen.
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
  sequence { # ERROR 3-11: Missing by: A sequence needs by: what the steps have in common, such as [app.app_id]. # ERROR 3-11: Missing within: A sequence needs within: how long it may take from the first step to the last, such as "24h". # ERROR 3-11: Not a sequence: A sequence has 2 to 5 steps: step "name" { on = [...] }.
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

rule "comparisons" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  compare {
    measure  = cuont() # ERROR 16-21: Bad measure: measure is one of count(), sum(x), distinct(x) or share(condition). Did you mean "count"?
    by       = [app.id]
    window   = "10s" # ERROR 16-21: Window too short: window must be a minute at least.
    baseline = "yesterday" # ERROR 16-27: Bad baseline: baseline is "previous", "hour_of_week" or the length of a mean, such as "14d".
    above    = "3 stigma" # ERROR 16-26: Bad amount: above is a factor such as 3, "300 %" of the baseline, or "3 sigma" above its mean.
    least    = 5 # ERROR 5-10: Unknown attribute: A compare block has no attribute "least".
  }
}

rule "comparison_empty" {
  title    = "t ${compare.value}"
  severity = "low"
  on       = ["app.added"]
  where    = compare.value > 3 # ERROR 14-27: Unknown field: There is no field "compare.value".
  compare { # ERROR 3-10: Missing measure: A compare needs measure: count(), sum(x), distinct(x) or share(condition). # ERROR 3-10: Missing baseline: A compare needs baseline: "previous", "hour_of_week" or the length of a mean, such as "14d". # ERROR 3-10: Missing above: A compare needs above: a factor such as 3, "300 %" of the baseline, or "3 sigma" above its mean. # ERROR 3-10: Missing by: A compare needs by: what is measured together, such as [app.id]; [] measures all together. # ERROR 3-10: Missing window: A compare needs window: the length of what is compared, such as "1h" or "1d".
  }
}

rule "comparison_misfit" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  compare {
    measure     = sum(app.name) # ERROR 23-31: Wrong type: What sum adds up must be an int; this is a string.
    by          = [app.id]
    window      = "5h"
    baseline    = "hour_of_week" # ERROR 19-33: Bad baseline: hour_of_week needs a window that a week is a multiple of, and a history of a week at least.
    above       = 0 # ERROR 19-20: Bad amount: above is a factor such as 3, "300 %" of the baseline, or "3 sigma" above its mean.
  }
}

rule "comparison_short" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  compare {
    measure     = distinct() # ERROR 19-29: Wrong number of arguments: measure is one of count(), sum(x), distinct(x) or share(condition).
    by          = [app.id]
    window      = "1d"
    baseline    = "1d" # ERROR 19-23: Bad baseline: A mean is made of 2 to 2000 windows; "1d" holds 1.
    history     = "2w" # ERROR 5-12: Nothing to do with this baseline: history is how far back hour_of_week looks; a mean has its length in baseline.
    above       = "2 sigma"
  }
}

rule "comparison_previous" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  compare {
    measure     = count()
    by          = [app.id]
    window      = "1d"
    baseline    = "previous"
    min_samples = 2 # ERROR 19-20: Bad number: min_samples must be an integer from 1 to 1.
    above       = "2 sigma" # ERROR 19-28: Nothing deviates: sigma needs a baseline of several windows: a mean such as "14d", or "hour_of_week".
  }
}

rule "sequences" {
  title    = "t ${first.app.name} ${never.app.name} ${second.app.nam}" # ERROR 37-51: A step that must not happen: Step "never" must not happen: there is nothing to say of it. # ERROR 55-69: Unknown field: There is no field "app.nam". Did you mean "app.name"?
  severity = "low"
  sequence {
    by     = [app.id, actor.id]
    within = "1h"
    step "first" {
      on    = ["app.added"]
      where = second.app.name == "x" # ERROR 15-30: Unknown field: There is no field "second.app.name", nor a step "second" that comes before.
    }
    step "second" {
      on    = ["app.adde"] # ERROR 16-26: Unknown action: There is no action "app.adde". Did you mean "app.added"?
      by    = [app.id] # ERROR 15-23: Keys do not fit together: by of the sequence has 2 elements and this has 1; they are compared one by one.
      where = app.name == first.app.name && first.permissions == null && first.app.name == detail("x") # ERROR 45-62: A set is not kept: Of a step only single values are kept; permissions is a permission set. Ask it in a condition of its own, joined by &&. # ERROR 92-103: Function of an event beside another step: detail asks the event itself: write it in a condition of its own, joined by &&.
    }
    step "never" {
      on  = ["app.added"]
      not = "yes" # ERROR 13-18: Wrong type: not must be true or false.
    }
    step "never" { # ERROR 5-17: Step named twice: Another step is called "never".
      on  = ["app.added"]
      not = true
    }
    step "app" { # ERROR 5-15: Missing on: A step needs on: the canonical actions that it looks at, such as ["app.consent.granted"]. # ERROR 5-15: One name expected: Write step "name" { ... } with a lower-case word that no field begins with.
    }
  }
}

rule "sequence_of_one" {
  title    = "t"
  severity = "low"
  sequence { # ERROR 3-11: Not a sequence: A sequence has 2 to 5 steps: step "name" { on = [...] }.
    by     = [app.id]
    within = "1h"
    step "none" {
      on  = ["app.added"]
      not = true
      at  = "x" # ERROR 7-9: Unknown attribute: A step block has no attribute "at". Did you mean "on"?
    }
  }
}

rule "absences" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  where    = absence.duration > duration("1d") # ERROR 14-30: Unknown field: There is no field "absence.duration".
  threshold { # ERROR 3-12: Nothing beside an absence: A rule with an absence has no threshold block.
    count  = 1
    by     = []
    within = "1h"
  }
  absence { # ERROR 3-10: Missing by: An absence needs by: what falls silent, such as [app.app_id].
    for  = "30" # ERROR 12-16: Bad duration: "30" is not a duration such as "90d", "12h" or "1d12h"; the units are w, d, h, m and s.
    tell = "returns" # ERROR 12-21: Bad absence: tell is "silence" (the time is over) or "return" (something came after it). Did you mean "return"?
  }
}

rule "silences" {
  title    = "t"
  severity = "low"
  on       = ["app.signin"]
  absence {
    by      = [app.id]
    for     = "30d"
    history = "60d" # ERROR 15-20: Bad absence: history belongs to tell = "return": a silence that is told is forgotten with it.
  }
}

rule "returns" {
  title    = "t"
  severity = "low"
  on       = ["app.signin"]
  absence {
    by      = [app.id]
    for     = "30d"
    history = "30d" # ERROR 15-20: Bad absence: history must be longer than for: no return could be told.
    tell    = "return"
  }
}

policy "graded" {
  title    = "Of ${actor.name}" # ERROR 20-30: Field of an event in a policy: "actor.name" belongs to an event; a policy looks at the inventory, at no event. Use app.* fields.
  severity = app.enabled ? "high" : "lo" # ERROR 37-41: Bad severity: "lo" is none of informational, low, medium, high, critical. Did you mean "low"?
  where    = true
}

rule "different" {
  title    = "t"
  severity = "low"
  on       = ["app.signin"]
  threshold { # ERROR 3-12: Too many different values: A threshold tells at most 4096 different values apart; a compare with distinct estimates any number of them.
    count    = 4097
    distinct = actor.id
    by       = [app.id]
    within   = "1d"
  }
}

rule "constant_keys" {
  title    = "t"
  severity = "low"
  on       = ["app.signin"]
  score    = 101 # ERROR 14-17: Bad number: score must be an integer from 0 to 100.
  threshold {
    count  = 3
    by     = ["app.id", "somebody", 3] # ERROR 15-23: The same for every event: An element of by tells nothing apart when it is constant. Write the field without quotes: app.id. # ERROR 25-35: The same for every event: An element of by tells nothing apart when it is constant. # ERROR 37-38: The same for every event: An element of by tells nothing apart when it is constant.
    within = "1h"
  }
  compare {
    measure = share(app.name == "x")
    by      = [app.id]
    window  = "1h"
    above   = "100 %" # ERROR 15-22: Nothing is above all: A share is 100 % at most, and above means more than.
  }
  risk {
    points = 0 - 1 # ERROR 14-19: Bad number: points must be an integer from 0 to 100.
  }
}

rule "later_step" {
  title    = "t"
  severity = "low"
  sequence {
    by     = [app.id]
    within = "1h"
    step "added" {
      on    = ["app.credential.added"]
      where = source.asn != used.source.asn # ERROR 29-44: Unknown field: There is no field "used.source.asn", nor a step "used" that comes before. Did you mean "source.asn"?
    }
    step "used" {
      on    = ["app.signin"]
      where = source.asn != aded.source.asn # ERROR 29-44: Unknown field: There is no field "aded.source.asn", nor a step "aded" that comes before. Did you mean "source.asn"?
    }
  }
}
