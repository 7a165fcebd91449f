test "Global Administrator for an app is an alert of the highest score" {
  rules = ["entra.role.assigned_to_app"]
  event {
    action = "app.role.assigned"
    app    = { id = "sp1", name = "Automation" }
    actor  = { type = "user", name = "Eve" }
    target = { type = "role", name = "Global Administrator" }
  }
  expect {
    severity = "high"
    score    = 95
    app      = "Automation"
    summary  = "the role Global Administrator"
  }
}

test "a role whose name the record lacks is an alert all the same" {
  rules = ["entra.role.assigned_to_app"]
  event {
    action = "app.role.assigned"
    app    = { id = "sp1", name = "Automation" }
  }
  expect {
    score = 75
  }
}

test "a reader's role and a failed assignment are no alert" {
  rules = ["entra.role.assigned_to_app"]
  event {
    action = "app.role.assigned"
    app    = { id = "sp1", name = "Dashboard" }
    target = { type = "role", name = "Reports Reader" }
  }
  event {
    action = "app.role.assigned"
    result = "failure"
    app    = { id = "sp1", name = "Dashboard" }
    target = { type = "role", name = "Global Administrator" }
  }
}
