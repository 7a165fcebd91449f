test "a registration asks for one permission more, by PowerShell" {
  rules = ["entra.app.permissions_requested_by_script"]
  event {
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    source  = { user_agent = "WindowsPowerShell/5.1" }
    changes = { RequiredResourceAccess = { old = ["graph/user-read"], new = ["graph/user-read", "graph/mail-write"] } }
  }
  expect {
    severity = "low"
    summary  = "made Sync ask for graph/mail-write with WindowsPowerShell/5.1"
  }
}

test "less than before, another property, the portal, a pipeline and a failure are no alert" {
  rules = ["entra.app.permissions_requested_by_script"]
  event {
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1" }
    source  = { user_agent = "WindowsPowerShell/5.1" }
    changes = { RequiredResourceAccess = { old = ["graph/user-read", "graph/mail-write"], new = ["graph/user-read"] } }
  }
  event {
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1" }
    source  = { user_agent = "WindowsPowerShell/5.1" }
    changes = { DisplayName = { old = ["Sync"], new = ["Sink"] } }
  }
  event {
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1" }
    source  = { user_agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "app", id = "sp9" }
    source  = { user_agent = "python-requests/2.31" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    action  = "app.updated"
    result  = "failure"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1" }
    source  = { user_agent = "python-requests/2.31" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
}
