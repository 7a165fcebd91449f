test "a user's consent to mail with offline access is an alert" {
  rules = ["entra.consent.user_mail_offline"]
  app "Free PDF" {
    origin = "external"
  }
  event {
    action      = "app.consent.granted"
    app         = "Free PDF"
    actor       = { type = "user", id = "u1", upn = "megan@contoso.example" }
    consent     = { type = "principal", admin = false }
    permissions = ["Mail.Read", "offline_access", "User.Read"]
  }
  expect {
    severity = "high"
    score    = 85
    app      = "Free PDF"
    summary  = "megan@contoso.example let Free PDF use Mail.Read"
  }
}

test "a verified publisher lowers the score" {
  rules = ["entra.consent.user_mail_offline"]
  app "Mail Client" {
    origin             = "external"
    verified_publisher = "Mail Client Ltd"
  }
  event {
    action      = "app.consent.granted"
    app         = "Mail Client"
    actor       = { type = "user", id = "u1", upn = "megan@contoso.example" }
    consent     = { type = "principal", scopes = ["Mail.ReadWrite", "offline_access"] }
    permissions = ["Mail.ReadWrite"]
  }
  expect {
    score = 70
  }
}

test "mail added by an app that has its refresh token already is an alert" {
  rules = ["entra.consent.user_mail_offline"]
  app "Notes" {
    origin = "external"
    grant {
      scopes = ["User.Read", "offline_access"]
      user   = "u1"
    }
  }
  event {
    action      = "app.permission.granted"
    app         = "Notes"
    actor       = { type = "user", id = "u1", upn = "megan@contoso.example" }
    consent     = { type = "principal", scopes = ["Mail.Send"] }
    permissions = ["Mail.Send"]
  }
  expect {
    app = "Notes"
  }
}

test "mail without offline access, and offline access without mail, are no alert" {
  rules = ["entra.consent.user_mail_offline"]
  event {
    action      = "app.consent.granted"
    app         = { id = "sp1", name = "Calendar Widget" }
    actor       = { type = "user", id = "u1" }
    consent     = { type = "principal" }
    permissions = ["Mail.Read"]
  }
  event {
    action      = "app.consent.granted"
    app         = { id = "sp1", name = "Calendar Widget" }
    actor       = { type = "user", id = "u1" }
    consent     = { type = "principal" }
    permissions = ["Calendars.Read", "offline_access"]
  }
}

test "a refused consent, one for all users and the provider's own app are no alert" {
  rules = ["entra.consent.user_mail_offline"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action      = "app.consent.granted"
    result      = "failure"
    app         = { id = "sp1", name = "Free PDF" }
    actor       = { type = "user", id = "u1" }
    consent     = { type = "principal" }
    permissions = ["Mail.Read", "offline_access"]
  }
  event {
    action      = "app.consent.granted"
    app         = { id = "sp1", name = "Free PDF" }
    actor       = { type = "user", id = "u1" }
    consent     = { type = "all_principals" }
    permissions = ["Mail.Read", "offline_access"]
  }
  event {
    action      = "app.consent.granted"
    app         = "Provider Service"
    actor       = { type = "user", id = "u1" }
    consent     = { type = "principal" }
    permissions = ["Mail.Read", "offline_access"]
  }
}
