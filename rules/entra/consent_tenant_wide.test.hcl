test "an administrator's consent to mail for all users is one alert, though it leaves two records" {
  rules = ["entra.consent.tenant_wide"]
  app "Inbox Helper" {
    origin = "external"
  }
  event {
    action      = "app.permission.granted"
    app         = "Inbox Helper"
    actor       = { type = "user", name = "Adele Admin" }
    consent     = { type = "all_principals" }
    permissions = ["Mail.ReadWrite", "offline_access"]
  }
  event {
    at          = "2s"
    action      = "app.consent.granted"
    app         = "Inbox Helper"
    actor       = { type = "user", name = "Adele Admin" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["Mail.ReadWrite", "offline_access"]
  }
  expect {
    severity = "high"
    score    = 70
    app      = "Inbox Helper"
    summary  = "Adele Admin gave Inbox Helper Mail.ReadWrite"
    state    = "new"
  }
}

test "the control plane scores higher" {
  rules = ["entra.consent.tenant_wide"]
  event {
    action      = "app.consent.granted"
    app         = { id = "sp-x", app_id = "app-x", name = "Directory Tool" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  expect {
    score = 95
  }
}

test "sign-in scopes for all users, a single user's consent and a failed attempt are no alert" {
  rules = ["entra.consent.tenant_wide"]
  event {
    action      = "app.consent.granted"
    app         = { id = "sp-y", name = "Travel Portal" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["User.Read", "openid", "profile"]
  }
  event {
    action      = "app.consent.granted"
    app         = { id = "sp-y", name = "Travel Portal" }
    consent     = { type = "principal", admin = false }
    permissions = ["Mail.Read"]
  }
  event {
    action      = "app.consent.granted"
    app         = { id = "sp-y", name = "Travel Portal" }
    result      = "failure"
    consent     = { type = "all_principals", admin = true }
    permissions = ["Mail.Read"]
  }
}

test "the provider's own app is no alert" {
  rules = ["entra.consent.tenant_wide"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action      = "app.consent.granted"
    app         = "Provider Service"
    consent     = { type = "all_principals", admin = true }
    permissions = ["Mail.Read"]
  }
}

test "another person's consent, and other permissions, within the hour are alerts of their own" {
  rules = ["entra.consent.tenant_wide"]
  event {
    action      = "app.consent.granted"
    app         = { id = "sp-x", name = "Inbox Helper" }
    actor       = { type = "user", id = "u1", name = "Adele" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["Mail.Read"]
  }
  event {
    at          = "10m"
    action      = "app.consent.granted"
    app         = { id = "sp-x", name = "Inbox Helper" }
    actor       = { type = "user", id = "u1", name = "Adele" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["Directory.ReadWrite.All"]
  }
  event {
    at          = "20m"
    action      = "app.consent.granted"
    app         = { id = "sp-x", name = "Inbox Helper" }
    actor       = { type = "user", id = "u2", name = "Eve" }
    consent     = { type = "all_principals", admin = true }
    permissions = ["Mail.Read"]
  }
  expect {
    summary = "Adele gave Inbox Helper Mail.Read"
  }
  expect {
    summary = "Adele gave Inbox Helper Directory.ReadWrite.All"
  }
  expect {
    summary = "Eve gave Inbox Helper Mail.Read"
  }
}
