test "two hundred sign-ins in an hour where twenty are usual are one alert" {
  rules = ["entra.signin.spike"]
  event {
    at     = "-29d"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-28d"
    action = "app.signin"
    repeat = 20
    every  = "1m"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-21d"
    action = "app.signin"
    repeat = 20
    every  = "1m"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    repeat = 250
    every  = "10s"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
  }
  expect {
    summary = "Backup signed in 200 times within an hour; 10 were usual"
  }
}

test "a busy hour that is usual, a small one, failures, managed identities and a new app are none" {
  rules = ["entra.signin.spike"]
  event {
    at     = "-29d"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Busy" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-28d"
    action = "app.signin"
    repeat = 300
    every  = "10s"
    app    = { id = "sp1", app_id = "a1", name = "Busy" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-21d"
    action = "app.signin"
    repeat = 300
    every  = "10s"
    app    = { id = "sp1", app_id = "a1", name = "Busy" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-14d"
    action = "app.signin"
    repeat = 300
    every  = "10s"
    app    = { id = "sp1", app_id = "a1", name = "Busy" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    repeat = 300
    every  = "10s"
    app    = { id = "sp1", app_id = "a1", name = "Busy" }
    signin = { kind = "service_principal" }
  }
  event {
    at     = "-29d"
    action = "app.signin"
    app    = { id = "sp2", app_id = "a2", name = "Small" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    repeat = 199
    every  = "10s"
    app    = { id = "sp2", app_id = "a2", name = "Small" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    result = "failure"
    repeat = 199
    every  = "10s"
    app    = { id = "sp2", app_id = "a2", name = "Small" }
    signin = { kind = "service_principal" }
  }
  event {
    action = "app.signin"
    repeat = 199
    every  = "10s"
    app    = { id = "sp2", app_id = "a2", name = "Small" }
    signin = { kind = "managed_identity" }
  }
  event {
    action = "app.signin"
    repeat = 300
    every  = "10s"
    app    = { id = "sp3", app_id = "a3", name = "New" }
    signin = { kind = "service_principal" }
  }
}
