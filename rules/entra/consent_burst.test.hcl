test "the fifth user within an hour is the alert" {
  rules = ["entra.consent.burst"]
  event {
    at      = "0m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "10m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u2" }
    consent = { type = "principal" }
  }
  event {
    at      = "20m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u3" }
    consent = { type = "principal" }
  }
  event {
    at      = "30m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u4" }
    consent = { type = "principal" }
  }
  event {
    at      = "40m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u5" }
    consent = { type = "principal" }
  }
  expect {
    severity = "high"
    score    = 80
    app      = "Party Planner"
  }
}

test "one user five times, and five users over a day, are no alert" {
  rules = ["entra.consent.burst"]
  event {
    at      = "0m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "1m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "2m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "3m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "4m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "3h"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u2" }
    consent = { type = "principal" }
  }
  event {
    at      = "5h"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u3" }
    consent = { type = "principal" }
  }
  event {
    at      = "7h"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u4" }
    consent = { type = "principal" }
  }
  event {
    at      = "9h"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u5" }
    consent = { type = "principal" }
  }
}

test "five users who were refused are no alert" {
  rules = ["entra.consent.burst"]
  event {
    at      = "0m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    result  = "failure"
    consent = { type = "principal" }
  }
  event {
    at      = "1m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u2" }
    result  = "failure"
    consent = { type = "principal" }
  }
  event {
    at      = "2m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u3" }
    result  = "failure"
    consent = { type = "principal" }
  }
  event {
    at      = "3m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u4" }
    result  = "failure"
    consent = { type = "principal" }
  }
  event {
    at      = "4m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u5" }
    result  = "failure"
    consent = { type = "principal" }
  }
}

test "five administrators who consent for all are another rule's matter" {
  rules = ["entra.consent.burst"]
  event {
    at      = "0m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u1" }
    consent = { type = "all_principals" }
  }
  event {
    at      = "1m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u2" }
    consent = { type = "all_principals" }
  }
  event {
    at      = "2m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u3" }
    consent = { type = "all_principals" }
  }
  event {
    at      = "3m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u4" }
    consent = { type = "all_principals" }
  }
  event {
    at      = "4m"
    action  = "app.consent.granted"
    app     = { id = "sp1", name = "Party Planner" }
    actor   = { type = "user", id = "u5" }
    consent = { type = "all_principals" }
  }
}

test "five users of the provider's own app are no alert" {
  rules = ["entra.consent.burst"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    at      = "0m"
    action  = "app.consent.granted"
    app     = "Provider Service"
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "1m"
    action  = "app.consent.granted"
    app     = "Provider Service"
    actor   = { type = "user", id = "u2" }
    consent = { type = "principal" }
  }
  event {
    at      = "2m"
    action  = "app.consent.granted"
    app     = "Provider Service"
    actor   = { type = "user", id = "u3" }
    consent = { type = "principal" }
  }
  event {
    at      = "3m"
    action  = "app.consent.granted"
    app     = "Provider Service"
    actor   = { type = "user", id = "u4" }
    consent = { type = "principal" }
  }
  event {
    at      = "4m"
    action  = "app.consent.granted"
    app     = "Provider Service"
    actor   = { type = "user", id = "u5" }
    consent = { type = "principal" }
  }
}

test "five users of an app whose publisher is verified count less" {
  rules = ["entra.consent.burst"]
  app "Planner" {
    origin             = "external"
    verified_publisher = "Planner Ltd"
  }
  event {
    at      = "1m"
    action  = "app.consent.granted"
    app     = "Planner"
    actor   = { type = "user", id = "u1" }
    consent = { type = "principal" }
  }
  event {
    at      = "2m"
    action  = "app.consent.granted"
    app     = "Planner"
    actor   = { type = "user", id = "u2" }
    consent = { type = "principal" }
  }
  event {
    at      = "3m"
    action  = "app.consent.granted"
    app     = "Planner"
    actor   = { type = "user", id = "u3" }
    consent = { type = "principal" }
  }
  event {
    at      = "4m"
    action  = "app.consent.granted"
    app     = "Planner"
    actor   = { type = "user", id = "u4" }
    consent = { type = "principal" }
  }
  event {
    at      = "5m"
    action  = "app.consent.granted"
    app     = "Planner"
    actor   = { type = "user", id = "u5" }
    consent = { type = "principal" }
  }
  expect {
    score = 65
    app   = "Planner"
  }
}
