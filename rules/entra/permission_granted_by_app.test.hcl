test "an app that gives itself mail access is an alert" {
  rules = ["entra.permission.granted_by_app"]
  app "Provisioner" {
    permissions = ["AppRoleAssignment.ReadWrite.All"]
  }
  event {
    action      = "app.permission.granted"
    app         = "Provisioner"
    actor       = { type = "app", id = "sp Provisioner", name = "Provisioner" }
    permissions = ["application:Mail.Read"]
  }
  expect {
    severity = "high"
    score    = 75
    app      = "Provisioner"
  }
}

test "a user's grant and the provider's own service are no alert" {
  rules = ["entra.permission.granted_by_app"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Target" }
    actor       = { type = "user", id = "u1" }
    permissions = ["application:Mail.Read"]
  }
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Target" }
    actor       = { type = "app", id = "sp Provider Service" }
    permissions = ["application:Mail.Read"]
  }
}

test "a failed grant, a delegated one and a trusted pipeline are no alert" {
  rules = ["entra.permission.granted_by_app"]
  event {
    action      = "app.permission.granted"
    result      = "failure"
    app         = { id = "sp1", name = "Target" }
    actor       = { type = "app", id = "sp2", name = "Provisioner" }
    permissions = ["application:Mail.Read"]
  }
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Target" }
    actor       = { type = "app", id = "sp2", name = "Provisioner" }
    permissions = ["delegated:Mail.Read"]
  }
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Target" }
    actor       = { type = "app", id = "00000000-0000-0000-0000-000000000000" }
    permissions = ["application:Mail.Read"]
  }
}

test "an app that grants role management counts more" {
  rules = ["entra.permission.granted_by_app"]
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Automation" }
    actor       = { type = "app", id = "sp2", name = "Provisioner" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  expect {
    score = 95
    app   = "Automation"
  }
}
