test "a reply URL behind a tunnel is an alert" {
  rules = ["entra.app.reply_url_unsafe"]
  app "Portal" {
    reply_urls = ["https://portal.contoso.example/signin"]
  }
  app "Portal" {
    at         = "1h"
    reply_urls = ["https://portal.contoso.example/signin", "https://a1b2.ngrok-free.app/cb"]
  }
  expect {
    severity = "medium"
    score    = 45
    app      = "Portal"
  }
}

test "a reply URL of the own domain, and the removal of an unsafe one, are no alert" {
  rules = ["entra.app.reply_url_unsafe"]
  app "Portal" {
    reply_urls = ["http://localhost:8080/cb"]
  }
  app "Portal" {
    at         = "1h"
    reply_urls = ["https://portal.contoso.example/signin"]
  }
}

test "the audit log's own form of the change is an alert" {
  rules = ["entra.app.reply_url_unsafe"]
  event {
    action  = "app.updated"
    app     = { id = "sp1", name = "Portal" }
    changes = { AppAddress = { old = ["https://portal.contoso.example"], new = ["https://portal.contoso.example", "http://203.0.113.9/cb"] } }
  }
  expect {
    app = "Portal"
  }
}

test "an app service's own address and a refused change are no alert" {
  rules = ["entra.app.reply_url_unsafe"]
  event {
    action  = "app.updated"
    app     = { object_id = "o1", name = "Portal" }
    changes = { AppAddress = { old = [], new = ["https://portal.azurewebsites.net/signin"] } }
  }
  event {
    action  = "app.updated"
    result  = "failure"
    app     = { object_id = "o1", name = "Portal" }
    changes = { AppAddress = { old = [], new = ["http://203.0.113.9/cb"] } }
  }
}

test "two changes of an app that is known by its object id alone are one alert" {
  rules = ["entra.app.reply_url_unsafe"]
  event {
    action  = "app.updated"
    app     = { object_id = "o1", name = "Portal" }
    changes = { AppAddress = { old = [], new = ["http://203.0.113.9/cb"] } }
  }
  event {
    at      = "1h"
    action  = "app.updated"
    app     = { object_id = "o1", name = "Portal" }
    changes = { AppAddress = { old = [], new = ["http://203.0.113.10/cb"] } }
  }
  expect {
    app = "Portal"
  }
}

test "an unsafe reply URL of an app with mail access counts more" {
  rules = ["entra.app.reply_url_unsafe"]
  app "Portal" {
    permissions = ["Mail.ReadWrite"]
    reply_urls  = ["https://portal.contoso.example/signin"]
  }
  app "Portal" {
    at          = "1h"
    permissions = ["Mail.ReadWrite"]
    reply_urls  = ["https://portal.contoso.example/signin", "https://a1b2.ngrok-free.app/cb"]
  }
  expect {
    score = 70
    app   = "Portal"
  }
}
