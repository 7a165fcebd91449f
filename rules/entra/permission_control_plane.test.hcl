test "granting role management to an app is a critical alert" {
  rules = ["entra.permission.control_plane"]
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Automation" }
    actor       = { type = "user", name = "Eve" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  expect {
    severity = "critical"
    score    = 90
    app      = "Automation"
    summary  = "Eve gave Automation RoleManagement.ReadWrite.Directory"
  }
}

test "data permissions, delegated ones and revocations are no alert" {
  rules = ["entra.permission.control_plane"]
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Automation" }
    permissions = ["application:Mail.Read", "delegated:RoleManagement.ReadWrite.Directory"]
  }
  event {
    action  = "app.permission.granted"
    app     = { id = "sp1", name = "Automation" }
    revoked = ["application:RoleManagement.ReadWrite.Directory"]
  }
}

test "a failed grant and the provider's own app are no alert" {
  rules = ["entra.permission.control_plane"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action      = "app.permission.granted"
    result      = "failure"
    app         = { id = "sp1", name = "Automation" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  event {
    action      = "app.permission.granted"
    app         = "Provider Service"
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
}

test "a second role over the control plane within the hour is a second alert, the inventory's view of the first is none" {
  rules = ["entra.permission.control_plane"]
  app "Automation" {
    id = "sp1"
  }
  event {
    action      = "app.permission.granted"
    app         = "Automation"
    actor       = { type = "user", id = "u1", name = "Eve" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  app "Automation" {
    at          = "5m"
    id          = "sp1"
    permissions = ["RoleManagement.ReadWrite.Directory"]
  }
  event {
    at          = "20m"
    action      = "app.permission.granted"
    app         = "Automation"
    actor       = { type = "user", id = "u1", name = "Eve" }
    permissions = ["application:AppRoleAssignment.ReadWrite.All"]
  }
  expect {
    summary = "Eve gave Automation RoleManagement.ReadWrite.Directory"
  }
  expect {
    summary = "Eve gave Automation AppRoleAssignment.ReadWrite.All"
  }
}

test "an app that grants role management counts more" {
  rules = ["entra.permission.control_plane"]
  event {
    action      = "app.permission.granted"
    app         = { id = "sp1", name = "Automation" }
    actor       = { type = "app", id = "sp2", name = "Provisioner" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  expect {
    score = 100
    app   = "Automation"
  }
}
