test "an external app called Microsoft Teams is an alert" {
  rules = ["entra.app.first_party_name"]
  app "Other" {}
  app "Microsoft Teams" {
    at     = "1h"
    origin = "external"
  }
  expect {
    severity = "high"
    score    = 85
    app      = "Microsoft Teams"
  }
}

test "the provider's own app and a longer name are no alert" {
  rules = ["entra.app.first_party_name"]
  app "Microsoft Teams" {
    at     = "1h"
    origin = "first_party"
  }
  app "Microsoft Teams Room Booking" {
    at     = "1h"
    origin = "external"
  }
}

test "two records of one app are one alert" {
  rules = ["entra.app.first_party_name"]
  app "Microsoft Teams" {
    origin = "external"
  }
  event {
    action = "app.added"
    app    = "Microsoft Teams"
  }
  event {
    at     = "1h"
    action = "app.consent.granted"
    app    = "Microsoft Teams"
  }
  expect {
    app = "Microsoft Teams"
  }
}

test "a failed attempt is no alert" {
  rules = ["entra.app.first_party_name"]
  app "Microsoft Teams" {
    origin = "external"
  }
  event {
    action = "app.updated"
    result = "failure"
    app    = "Microsoft Teams"
  }
}
