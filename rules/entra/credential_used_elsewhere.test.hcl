test "a sign-in from a new network an hour after a credential was added elsewhere is an alert" {
  rules = ["entra.credential.used_elsewhere"]
  app "Backup" {
    id          = "sp1"
    app_id      = "a1"
    permissions = ["Files.Read.All"]
  }
  event {
    at     = "-1d"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64501 }
  }
  event {
    action = "app.credential.added"
    app    = "Backup"
    actor  = { type = "user", id = "u1", name = "Eve" }
    source = { asn = 64500 }
  }
  event {
    at     = "1h"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  expect {
    app     = "Backup"
    summary = "Eve added a credential to Backup from AS64500, and it signed in from AS64511 for the first time"
  }
}

test "the network of the one who added it, or one that the app uses anyway, is no alert" {
  rules = ["entra.credential.used_elsewhere"]
  event {
    at     = "-1d"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  event {
    action = "app.credential.added"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    source = { asn = 64500 }
  }
  event {
    at     = "1h"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  event {
    at     = "2h"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
}

test "failures, managed identities, an unknown network and a use days later are no alert" {
  rules = ["entra.credential.used_elsewhere"]
  event {
    action = "app.credential.added"
    result = "failure"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    source = { asn = 64500 }
  }
  event {
    action = "app.credential.added"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
  }
  event {
    at     = "1h"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  event {
    action = "app.credential.added"
    app    = { id = "sp2", app_id = "a2", name = "Sync" }
    source = { asn = 64500 }
  }
  event {
    at     = "1h"
    action = "app.signin"
    result = "failure"
    app    = { id = "sp2", app_id = "a2", name = "Sync" }
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  event {
    at     = "2h"
    action = "app.signin"
    app    = { id = "sp2", app_id = "a2", name = "Sync" }
    signin = { kind = "managed_identity" }
    source = { asn = 64511 }
  }
  event {
    at     = "25h"
    action = "app.signin"
    app    = { id = "sp2", app_id = "a2", name = "Sync" }
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
}
