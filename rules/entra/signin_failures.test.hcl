test "twenty failures within an hour without a success are an alert" {
  rules = ["entra.signin.failures"]
  event {
    action = "app.signin"
    result = "failure"
    repeat = 25
    every  = "1m"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { ip = "203.0.113.9" }
  }
  expect {
    summary = "Backup failed to sign in 20 times"
    count   = 20
  }
}

test "one success among them, nineteen, twenty over a day and managed identities are none" {
  rules = ["entra.signin.failures"]
  event {
    action = "app.signin"
    result = "failure"
    repeat = 30
    every  = "1m"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-1m"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    result = "failure"
    repeat = 19
    every  = "1m"
    app    = { id = "sp2", app_id = "a2", name = "Sync" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    result = "failure"
    repeat = 24
    every  = "1h"
    app    = { id = "sp3", app_id = "a3", name = "Report" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    result = "failure"
    repeat = 24
    every  = "1m"
    app    = { id = "sp4", app_id = "a4", name = "Machine" }
    signin = { kind = "managed_identity" }
  }
}
