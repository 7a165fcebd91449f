test "two findings about one app within days cross the line, and the risk goes down again" {
  rules = ["risk.app"]
  since = "10d"
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u2", upn = "mallory@contoso.example" }
  }
  risk {
    at    = "1s"
    app   = "App Manager"
    score = 60
  }
  event {
    at      = "1d"
    action  = "app.updated"
    app     = "App Manager"
    actor   = { type = "user", id = "u1", name = "Eve" }
    changes = { AppAddress = { old = [], new = ["https://evil.ngrok.io/cb"] } }
  }
  tick {
    at = "15d"
  }
  expect {
    kind     = "risk"
    state    = "new"
    severity = "high"
    app      = "App Manager"
    summary  = "entra.app.reply_url_unsafe (60), entra.owner.added_to_privileged_app (54)"
  }
  expect {
    kind  = "risk"
    state = "resolved"
    app   = "App Manager"
  }
}

test "one rule alone does not cross the line, however often it fires" {
  rules = ["risk.app"]
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u2" }
  }
  event {
    at     = "1m"
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u3" }
  }
  risk {
    at    = "1m"
    app   = "App Manager"
    score = 60
  }
}

test "findings about two apps do not add up" {
  rules = ["risk.app"]
  app "App Manager" {
    permissions = ["Application.ReadWrite.All"]
  }
  app "Role Manager" {
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    action = "app.owner.added"
    app    = "App Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u2" }
  }
  event {
    at     = "1m"
    action = "app.owner.added"
    app    = "Role Manager"
    actor  = { type = "user", id = "u1", name = "Eve" }
    target = { type = "user", id = "u2" }
  }
}
