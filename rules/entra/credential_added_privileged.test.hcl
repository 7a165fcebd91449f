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

test "a credential that only the inventory shows is an alert too" {
  rules = ["entra.credential.added_to_privileged_app"]
  app "Archive" {
    permissions = ["Mail.ReadWrite"]
  }
  app "Archive" {
    at = "1h"
    credential "k2" {
      kind = "certificate"
      end  = "2027-03-03"
    }
  }
  expect {
    score   = 75
    summary = "Somebody added a certificate to Archive"
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

test "a failed attempt and a trusted pipeline are no alert" {
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
}
