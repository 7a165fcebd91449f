test "an app that the provider disables is an alert" {
  rules = ["entra.app.disabled_by_provider"]
  app "Free PDF" {
    origin      = "external"
    disabled_by = ""
    grant {
      scopes = ["User.Read"]
      user   = "u1"
    }
  }
  app "Free PDF" {
    at          = "1h"
    origin      = "external"
    disabled_by = "DisabledDueToViolationOfServicesAgreement"
  }
  expect {
    severity = "high"
    score    = 75
    app      = "Free PDF"
    summary  = "1 users had consented"
  }
}

test "an app that an administrator disables is no alert" {
  rules = ["entra.app.disabled_by_provider"]
  app "Free PDF" {
    disabled_by = ""
  }
  app "Free PDF" {
    at          = "1h"
    disabled_by = "NotDisabled"
    enabled     = false
  }
}

test "an app with mail access of the whole organisation counts more" {
  rules = ["entra.app.disabled_by_provider"]
  app "Archive" {
    permissions = ["Mail.ReadWrite"]
    disabled_by = ""
  }
  app "Archive" {
    at          = "1h"
    permissions = ["Mail.ReadWrite"]
    disabled_by = "DisabledDueToViolationOfServicesAgreement"
  }
  expect {
    score = 90
    app   = "Archive"
  }
}
