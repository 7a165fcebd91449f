test "a new owner of an app that manages apps is an alert" {
  rules = ["entra.owner.added_to_privileged_app"]
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u2", upn = "mallory@contoso.example" }
  }
  expect {
    severity = "medium"
    score    = 75
    app      = "App Manager"
    summary  = "Eve made mallory@contoso.example an owner"
  }
}

test "a new owner of an ordinary app is no alert" {
  rules = ["entra.owner.added_to_privileged_app"]
  app "Lunch Menu" {
    grant {
      scopes = ["User.Read"]
    }
  }
  event {
    action = "app.owner.added"
    app    = "Lunch Menu"
    actor  = { type = "user", id = "u1" }
    target = { type = "user", id = "u2" }
  }
}

test "a failed attempt and a trusted pipeline are no alert" {
  rules = ["entra.owner.added_to_privileged_app"]
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  event {
    action = "app.owner.added"
    result = "failure"
    app    = "App Manager"
    actor  = { type = "user", id = "u1" }
    target = { type = "user", id = "u2" }
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "app", id = "00000000-0000-0000-0000-000000000000" }
    target = { type = "user", id = "u3" }
  }
}

test "the same owner made by another person is an alert of its own" {
  rules = ["entra.owner.added_to_privileged_app"]
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Adele" }
    target = { type = "user", id = "u3", name = "Mallory" }
  }
  event {
    at     = "1h"
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Adele" }
    target = { type = "user", id = "u3", name = "Mallory" }
  }
  event {
    at     = "2h"
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u2", name = "Eve" }
    target = { type = "user", id = "u3", name = "Mallory" }
  }
  expect {
    summary = "Adele made Mallory"
  }
  expect {
    summary = "Eve made Mallory"
  }
}
