test "a zero for an o, rn for m and a Cyrillic letter are each an alert" {
  rules = ["entra.app.lookalike_name"]
  event {
    action = "app.added"
    app    = { id = "sp1", name = "Micr0soft Teams Update" }
  }
  event {
    action = "app.added"
    app    = { id = "sp2", name = "rnicrosoft 365" }
  }
  event {
    action = "app.added"
    app    = { id = "sp3", name = "Pаyroll" }
  }
  expect {
    severity = "high"
    score    = 70
    app      = "Micr0soft Teams Update"
  }
  expect {
    app = "rnicrosoft 365"
  }
  expect {
    app = "Pаyroll"
  }
}

test "an app that is renamed to an imitation is found in the inventory" {
  rules = ["entra.app.lookalike_name"]
  app "Helper" {
    id     = "sp9"
    app_id = "app9"
    origin = "external"
  }
  app "Goog1e Drive" {
    at     = "1h"
    id     = "sp9"
    app_id = "app9"
    origin = "external"
  }
  expect {
    app = "Goog1e Drive"
  }
}

test "the brand itself, a numbered product and an unrelated name are no alert" {
  rules = ["entra.app.lookalike_name"]
  event {
    action = "app.added"
    app    = { id = "sp1", name = "Microsoft Teams connector" }
  }
  event {
    action = "app.added"
    app    = { id = "sp2", name = "Dropbox2" }
  }
  event {
    action = "app.added"
    app    = { id = "sp3", name = "Зарплата и кадры" }
  }
}

test "a name of the provider's own app that happens to be close is no alert" {
  rules = ["entra.app.lookalike_name"]
  app "Micros0ft Internal" {
    origin = "first_party"
  }
  event {
    action = "app.updated"
    app    = "Micros0ft Internal"
  }
}

test "an app that is known by its object id alone is one alert, a failed attempt none" {
  rules = ["entra.app.lookalike_name"]
  event {
    action = "app.registered"
    app    = { object_id = "o1", name = "Micr0soft Teams" }
  }
  event {
    at     = "1m"
    action = "app.updated"
    app    = { object_id = "o1", name = "Micr0soft Teams" }
  }
  event {
    action = "app.registered"
    result = "failure"
    app    = { object_id = "o2", name = "Micr0soft Teams" }
  }
  expect {
    app = "Micr0soft Teams"
  }
}

test "an imitation that can read all mail counts more" {
  rules = ["entra.app.lookalike_name"]
  app "Outlook Helper" {
    id          = "sp9"
    app_id      = "app9"
    permissions = ["Mail.ReadWrite"]
  }
  app "Micr0soft Teams" {
    at          = "1h"
    id          = "sp9"
    app_id      = "app9"
    permissions = ["Mail.ReadWrite"]
  }
  expect {
    score = 85
    app   = "Micr0soft Teams"
  }
}
