test "the provider's alert becomes one of ours, and resolves with it" {
  rules = ["entra.upstream.alert"]
  event {
    action   = "alert.upstream"
    app      = { id = "sp1", app_id = "a1", name = "Odd App" }
    upstream = { id = "ma1", status = "new", severity = "high", title = "Unusual activity of an app" }
  }
  event {
    at       = "2h"
    action   = "alert.upstream"
    app      = { id = "sp1", app_id = "a1", name = "Odd App" }
    upstream = { id = "ma1", status = "resolved", severity = "high", title = "Unusual activity of an app" }
  }
  expect {
    kind    = "upstream"
    state   = "new"
    score   = 80
    app     = "Odd App"
    summary = "Unusual activity of an app"
  }
  expect {
    kind  = "upstream"
    state = "resolved"
  }
}

test "an alert that the provider calls a false positive from the start is not carried on" {
  rules = ["entra.upstream.alert"]
  event {
    action   = "alert.upstream"
    app      = { id = "sp1", name = "Odd App" }
    upstream = { id = "ma2", status = "resolved", severity = "low", title = "Noise", classification = "falsePositive" }
  }
}
