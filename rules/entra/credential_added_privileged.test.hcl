test "a secret for an app that can grant roles is an alert" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Role Manager" {
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    action     = "app.credential.added"
    app        = "Role Manager"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k1" }
  }
  expect {
    severity = "high"
    score    = 90
    app      = "Role Manager"
    summary  = "Eve added a password to Role Manager, an app of tier 1"
  }
}

test "a stranger's secret six hours after a rotation is an alert of its own, a second record of one secret is none" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Archive" {
    permissions = ["Mail.ReadWrite"]
  }
  event {
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Adele" }
    credential = { kind = "certificate", key_id = "k1" }
  }
  event {
    at         = "2s"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Adele" }
    credential = { kind = "certificate", key_id = "k1" }
  }
  event {
    at         = "6h"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u2", name = "Eve" }
    credential = { kind = "password", key_id = "k2" }
  }
  expect {
    score   = 75
    summary = "Adele added a certificate to Archive"
  }
  expect {
    score   = 75
    summary = "Eve added a password to Archive"
  }
}

test "a secret for an app with harmless permissions is no alert" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Lunch Menu" {
    grant {
      scopes = ["User.Read"]
    }
  }
  event {
    action     = "app.credential.added"
    app        = "Lunch Menu"
    actor      = { type = "user", id = "u1" }
    credential = { kind = "password" }
  }
  event {
    action     = "app.credential.added"
    app        = { id = "sp-unknown", name = "Not in the inventory" }
    actor      = { type = "user", id = "u1" }
    credential = { kind = "password" }
  }
}

test "a failed attempt and a trusted pipeline are no alert, nor is what the inventory shows of it later" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Role Manager" {
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    action = "app.credential.added"
    app    = "Role Manager"
    result = "failure"
    actor  = { type = "user", id = "u1" }
  }
  event {
    action = "app.credential.added"
    app    = "Role Manager"
    actor  = { type = "app", id = "00000000-0000-0000-0000-000000000000" }
  }
  app "Role Manager" {
    at          = "1h"
    permissions = ["RoleManagement.ReadWrite.Directory"]
    credential "k2" {
      kind = "certificate"
      end  = "2027-03-03"
    }
  }
}

test "a secret for an app whose publisher is verified counts less" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Backup" {
    origin             = "external"
    verified_publisher = "Backup Ltd"
    permissions        = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    action     = "app.credential.added"
    app        = "Backup"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k1" }
  }
  expect {
    score = 80
    app   = "Backup"
  }
}
