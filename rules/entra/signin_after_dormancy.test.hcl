test "a sign-in after two months of silence is an alert, the next is none" {
  rules = ["entra.signin.after_dormancy"]
  event {
    at     = "-70d"
    action = "app.signin"
    repeat = 2
    every  = "1d"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    repeat = 2
    every  = "1h"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { ip = "203.0.113.9" }
  }
  expect {
    severity = "medium"
    summary  = "Backup signed in from 203.0.113.9 after 69 days without a sign-in"
  }
}

test "an app with the highest tier is told as high" {
  rules = ["entra.signin.after_dormancy"]
  app "Root" {
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    at     = "-70d"
    action = "app.signin"
    repeat = 2
    every  = "1d"
    app    = "Root"
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    app    = "Root"
    signin = { kind = "service_principal" }
  }
  expect {
    severity = "high"
  }
}

test "a monthly job, failures, a managed identity and the first sign-in of an app are none" {
  rules = ["entra.signin.after_dormancy"]
  event {
    at     = "-80d"
    action = "app.signin"
    repeat = 3
    every  = "30d"
    app    = { id = "sp1", app_id = "a1", name = "Monthly" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-80d"
    action = "app.signin"
    repeat = 2
    every  = "1d"
    app    = { id = "sp2", app_id = "a2", name = "Failing" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    result = "failure"
    app    = { id = "sp2", app_id = "a2", name = "Failing" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-80d"
    action = "app.signin"
    repeat = 3
    every  = "39d"
    app    = { id = "sp3", app_id = "a3", name = "Machine" }
    signin = { kind = "managed_identity" }
  }
  event {
    at     = "1h"
    action = "app.signin"
    repeat = 2
    every  = "61d"
    app    = { id = "sp3", app_id = "a3", name = "Machine" }
    signin = { kind = "managed_identity" }
  }
  event {
    action = "app.signin"
    app    = { id = "sp4", app_id = "a4", name = "New" }
    signin = { kind = "service_principal" }
  }
}
