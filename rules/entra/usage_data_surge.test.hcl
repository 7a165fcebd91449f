test "a day far above the app's own past is an alert, and is over with the day" {
  rules = ["entra.usage.data_surge"]
  since = "10d"
  app "Archive" {}
  event {
    at     = "1h"
    repeat = 9
    every  = "1d"
    action = "app.call"
    app    = "Archive"
    call   = { endpoint = "users/{id}/messages", status = 200, response_bytes = 50000000 }
  }
  event {
    at     = "220h"
    action = "app.call"
    app    = "Archive"
    call   = { endpoint = "users/{id}/messages", status = 200, response_bytes = 2000000000 }
  }
  tick {
    at = "221h"
  }
  tick {
    at = "245h"
  }
  expect {
    kind    = "policy"
    state   = "new"
    app     = "Archive"
    score   = 55
    summary = "read 2000000000 bytes today, 50000000 on a day before"
  }
  expect {
    state = "resolved"
    app   = "Archive"
  }
}

test "nothing is compared before a week is known, and a large app is no surge" {
  rules = ["entra.usage.data_surge"]
  since = "10d"
  app "New" {}
  app "Large" {}
  app "Small" {}
  app "Provider" {
    origin = "first_party"
  }
  app "appgovd" {
    is_appgovd = true
  }
  event {
    at     = "1h"
    repeat = 5
    every  = "1d"
    action = "app.call"
    app    = "New"
    call   = { status = 200, response_bytes = 5000 }
  }
  event {
    at     = "122h"
    action = "app.call"
    app    = "New"
    call   = { status = 200, response_bytes = 2000000000 }
  }
  event {
    at     = "1h"
    repeat = 10
    every  = "1d"
    action = "app.call"
    app    = "Large"
    call   = { status = 200, response_bytes = 1900000000 }
  }
  event {
    at     = "220h"
    action = "app.call"
    app    = "Small"
    call   = { status = 200, response_bytes = 900000000 }
  }
  event {
    at     = "220h"
    action = "app.call"
    app    = "appgovd"
    call   = { status = 200, response_bytes = 2000000000 }
  }
  event {
    at     = "220h"
    action = "app.call"
    app    = "Provider"
    call   = { status = 200, response_bytes = 2000000000 }
  }
  tick {
    at = "123h"
  }
  tick {
    at = "221h"
  }
}
