test "a sign-in from another network after ten days at home is an alert" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  app "Backup" {
    permissions = ["Files.Read.All"]
  }
  event {
    at     = "-10d"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { ip = "198.51.100.7", asn = 64500, as_org = "Home", country = "DE" }
  }
  event {
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { ip = "203.0.113.9", asn = 64511, as_org = "Elsewhere", country = "NL" }
  }
  expect {
    severity = "medium"
    score    = 65
    app      = "Backup"
    summary  = "Backup signed in from AS64511 (Elsewhere, NL)"
  }
}

test "the usual network, an unknown one and the first days are no alert" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  event {
    at     = "-10d"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
  event {
    at     = "-9d"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64501 }
  }
  event {
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64501 }
  }
  event {
    at     = "1m"
    action = "app.signin"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { ip = "203.0.113.9" }
  }
}

test "a failed sign-in, a managed identity and the provider's own app are no alert" {
  rules = ["entra.signin.new_asn"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action = "app.signin"
    result = "failure"
    app    = { id = "sp1", app_id = "a1", name = "Backup" }
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
  event {
    action = "app.signin"
    app    = { id = "sp2", app_id = "a2", name = "Machine" }
    signin = { kind = "managed_identity" }
    source = { asn = 64500 }
  }
  event {
    action = "app.signin"
    app    = "Provider Service"
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
}

test "the first sign-ins of a new app are no alert" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  app "Backup" {
    permissions = ["Files.Read.All"]
  }
  event {
    at     = "-10d"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
  app "New Tool" {
    at     = "-1d"
    id     = "sp-new"
    app_id = "app-new"
  }
  event {
    action = "app.signin"
    app    = { id = "sp-new", app_id = "app-new", name = "New Tool" }
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
}

test "a network without a name is told without one" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  app "Backup" {
    permissions = ["Files.Read.All"]
  }
  event {
    at     = "-10d"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
  event {
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64511 }
  }
  expect {
    summary = "AS64511 (no name, country unknown) for the first time"
  }
}

test "an app of the control plane in another network counts more" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  app "Automation" {
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    at     = "-10d"
    action = "app.signin"
    app    = "Automation"
    signin = { kind = "service_principal" }
    source = { asn = 64500, country = "DE" }
  }
  event {
    action = "app.signin"
    app    = "Automation"
    signin = { kind = "service_principal" }
    source = { asn = 64511, country = "DE" }
  }
  expect {
    score = 80
    app   = "Automation"
  }
}

test "a rented server as the new network counts more" {
  rules = ["entra.signin.new_asn"]
  since = "11d"
  app "Backup" {}
  event {
    at     = "-10d"
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 64500 }
  }
  event {
    action = "app.signin"
    app    = "Backup"
    signin = { kind = "service_principal" }
    source = { asn = 20473, as_org = "Vultr" }
  }
  expect {
    score   = 55
    app     = "Backup"
    summary = "AS20473 (Vultr, country unknown)"
  }
}
