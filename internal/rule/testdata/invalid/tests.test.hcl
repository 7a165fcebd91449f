test "mistakes" {
  rules = ["nothing.here"] # ERROR 12-26: Unknown rule: There is no rule or policy "nothing.here".
  clock = "noon" # ERROR 11-17: Bad time: "noon" is neither a time such as "2026-01-31T00:00:00Z" nor a date such as "2026-01-31".
  event { # ERROR 3-8: Missing action: An event needs action: a canonical action, such as "app.consent.granted".
    acton = "app.added" # ERROR 5-10: Unknown field: An event has no field "acton" that can be written. Did you mean "action"?
  }
  event {
    at          = "soon" # ERROR 19-25: Bad duration: "soon" is not a duration such as "90d", "12h" or "1d12h"; the units are w, d, h, m and s.
    action      = "app.aded" # ERROR 19-29: Unknown action: There is no action "app.aded". Did you mean "app.added"?
    app         = "Nobody" # ERROR 19-27: Unknown app: The test has no app "Nobody".
    actor       = { nmae = "x" } # ERROR 21-25: Unknown field: An event has no field "actor.nmae" that can be written. Did you mean "actor.name"?
    permissions = 5 # ERROR 19-20: Wrong type: permissions is a list such as ["Mail.Read", "application:Files.Read.All"].
    changes     = { A = ["x"] } # ERROR 19-32: Wrong type: changes is an object such as { AppAddress = { old = [], new = ["https://example.com"] } }.
  }
  fixture "testdata/none.json" {} # ERROR 3-31: Fixture not found: There is no file "testdata/invalid/testdata/none.json" beside the rules.
  expect {
    severity = "worse" # ERROR 16-23: Bad severity: "worse" is none of informational, low, medium, high, critical.
    score    = 101 # ERROR 16-19: Bad number: score must be an integer from 0 to 100.
  }
}

test "repetitions" {
  rules = ["nothing"] # ERROR 12-21: Unknown rule: There is no rule or policy "nothing".
  event { # ERROR 3-8: Missing every: An event needs every: the time between two of them, such as "1m".
    action = "app.signin"
    repeat = 1 # ERROR 14-15: Bad number: repeat must be an integer from 2 to 10000.
  }
  event {
    action = "app.signin"
    every  = "1m" # ERROR 5-10: Missing repeat: every belongs to repeat, which says how many events there are.
  }
}
