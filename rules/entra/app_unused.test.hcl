test "an app that nobody uses becomes an alert after 90 days, and resolves when it is used" {
  rules = ["entra.app.unused"]
  since = "10d"
  app "Old Report" {
    permissions = ["Files.Read.All"]
  }
  tick {
    at = "79d"
  }
  tick {
    at = "81d"
  }
  event {
    at     = "82d"
    action = "app.signin"
    app    = "Old Report"
    signin = { kind = "service_principal" }
  }
  tick {
    at = "83d"
  }
  expect {
    kind     = "policy"
    state    = "new"
    severity = "low"
    score    = 50
    app      = "Old Report"
    summary  = "was not used for 91 days"
  }
  expect {
    state = "resolved"
    app   = "Old Report"
  }
}

test "an app in use, a disabled one, one without permissions and the provider's own are no alert" {
  rules = ["entra.app.unused"]
  since = "10d"
  app "Report" {
    permissions = ["Files.Read.All"]
  }
  app "Switched Off" {
    enabled     = false
    permissions = ["Files.Read.All"]
  }
  app "Bare" {}
  app "Provider" {
    origin      = "first_party"
    permissions = ["Files.Read.All"]
  }
  event {
    at     = "30d"
    action = "user.signin"
    app    = "Report"
  }
  tick {
    at = "100d"
  }
}

test "an app of another tenant that came an hour ago is not unused, whenever collecting began" {
  rules = ["entra.app.unused"]
  since = "120d"
  app "Fresh" {
    at          = "1h"
    origin      = "external"
    permissions = ["Mail.Read"]
  }
  tick {
    at = "2h"
  }
  tick {
    at = "89d"
  }
}
