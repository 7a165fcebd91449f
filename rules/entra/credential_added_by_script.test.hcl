test "a secret added with PowerShell" {
  rules = ["entra.credential.added_by_script"]
  event {
    action     = "app.credential.added"
    app        = { object_id = "app1", name = "Sync" }
    actor      = { type = "user", id = "u1", upn = "eve@contoso.example" }
    source     = { user_agent = "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.17763.1971" }
    credential = { kind = "password" }
  }
  expect {
    severity = "medium"
    score    = 55
    summary  = "eve@contoso.example added a password to Sync with "
  }
}

test "the portal, a pipeline, a failure and a trusted administrator are no alert" {
  rules = ["entra.credential.added_by_script"]
  event {
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1" }
    source = { user_agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120.0 Safari/537.36" }
  }
  event {
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "app", id = "sp9" }
    source = { user_agent = "python-requests/2.31" }
  }
  event {
    action = "app.credential.added"
    result = "failure"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1" }
    source = { user_agent = "python-requests/2.31" }
  }
  event {
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "00000000-0000-0000-0000-000000000000" }
    source = { user_agent = "python-requests/2.31" }
  }
}

test "a script that adds a secret to an app with mail access counts more" {
  rules = ["entra.credential.added_by_script"]
  app "Archive" {
    permissions = ["Mail.ReadWrite"]
  }
  event {
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    source     = { user_agent = "python-requests/2.31" }
    credential = { kind = "password" }
  }
  expect {
    score = 80
    app   = "Archive"
  }
}
