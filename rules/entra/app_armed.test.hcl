test "asked, granted to all users, credential added within an hour" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
  expect {
    severity = "high"
    score    = 75
    summary  = "eve@contoso.example asked for permissions"
  }
}

test "an application permission is a grant, too" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    permissions = ["application:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
  expect {
    severity = "high"
    score    = 75
    summary  = "the last to Sync"
  }
}

test "two of the three steps are no alert, however often" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at     = "0m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
  event {
    at     = "1m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
  event {
    at     = "2m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
  event {
    at      = "9m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
}

test "an update of something else is no step" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { DisplayName = { old = ["a"], new = ["b"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
}

test "a consent for one user is no step" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.consent.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    consent     = { type = "principal" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
}

test "three steps over more than an hour are no alert" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "40m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "75m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
}

test "a step that failed is none" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "eve@contoso.example" }
    result  = "failure"
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "eve@contoso.example" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "u1", upn = "eve@contoso.example" }
  }
}

test "a pipeline is no person" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "app", id = "sp9" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "app", id = "sp9" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "app", id = "sp9" }
  }
}

test "a trusted administrator is spared" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "00000000-0000-0000-0000-000000000000" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-write"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { object_id = "app1", name = "Sync" }
    actor       = { type = "user", id = "00000000-0000-0000-0000-000000000000" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at     = "5m"
    action = "app.credential.added"
    app    = { object_id = "app1", name = "Sync" }
    actor  = { type = "user", id = "00000000-0000-0000-0000-000000000000" }
  }
}

test "an administrator who asks and consents in the portal is no alert: the consent and its grant are one step" {
  rules = ["entra.app.armed_by_one_person"]
  event {
    at      = "0m"
    action  = "app.updated"
    app     = { object_id = "app1", name = "Sync" }
    actor   = { type = "user", id = "u1", upn = "adele@contoso.example" }
    changes = { RequiredResourceAccess = { old = [], new = ["graph/mail-read"] } }
  }
  event {
    at          = "2m"
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "adele@contoso.example" }
    consent     = { type = "all_principals" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    at          = "2m"
    action      = "app.consent.granted"
    app         = { id = "sp1", name = "Sync" }
    actor       = { type = "user", id = "u1", upn = "adele@contoso.example" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["delegated:Mail.Read"]
  }
}
