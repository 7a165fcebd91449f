test "an app whose publisher is no longer verified is an alert" {
  rules = ["entra.publisher.verification_lost"]
  app "Sync" {
    origin             = "external"
    verified_publisher = "Sync Ltd"
  }
  app "Sync" {
    at                 = "1h"
    origin             = "external"
    verified_publisher = ""
  }
  expect {
    severity = "medium"
    score    = 45
    app      = "Sync"
    summary  = "Sync lost its verified publisher Sync Ltd"
  }
}

test "an app whose publisher becomes verified or changes its name is no alert" {
  rules = ["entra.publisher.verification_lost"]
  app "Sync" {
    verified_publisher = ""
  }
  app "Sync" {
    at                 = "1h"
    verified_publisher = "Sync Ltd"
  }
  app "Sync" {
    at                 = "2h"
    verified_publisher = "Sync GmbH"
  }
}

test "an unverified app that changes something else is no alert" {
  rules = ["entra.publisher.verification_lost"]
  app "Sync" {
    publisher = "Sync Ltd"
  }
  app "Sync" {
    at        = "1h"
    publisher = "Sync GmbH"
  }
}

test "an app with mail access that loses its verified publisher counts more" {
  rules = ["entra.publisher.verification_lost"]
  app "Sync" {
    origin             = "external"
    permissions        = ["Mail.ReadWrite"]
    verified_publisher = "Sync Ltd"
  }
  app "Sync" {
    at                 = "1h"
    origin             = "external"
    permissions        = ["Mail.ReadWrite"]
    verified_publisher = ""
  }
  expect {
    score = 65
    app   = "Sync"
  }
}
