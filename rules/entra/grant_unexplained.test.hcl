test "a grant that nothing explains is an alert" {
  rules = ["entra.grant.unexplained"]
  event {
    action      = "inventory.grant.unexplained"
    app         = { id = "sp1", name = "Shadow" }
    permissions = ["application:Mail.ReadWrite"]
  }
  expect {
    severity = "medium"
    score    = 65
    app      = "Shadow"
  }
}

test "a grant of the provider's own app is no alert" {
  rules = ["entra.grant.unexplained"]
  app "Provider Service" {
    origin = "first_party"
  }
  event {
    action      = "inventory.grant.unexplained"
    app         = "Provider Service"
    permissions = ["application:Mail.ReadWrite"]
  }
}

test "another permission of the same app is an alert of its own" {
  rules = ["entra.grant.unexplained"]
  event {
    action      = "inventory.grant.unexplained"
    app         = { id = "sp1", name = "Shadow" }
    permissions = ["application:Mail.ReadWrite"]
  }
  event {
    at          = "2h"
    action      = "inventory.grant.unexplained"
    app         = { id = "sp1", name = "Shadow" }
    permissions = ["application:RoleManagement.ReadWrite.Directory"]
  }
  expect {
    score = 65
  }
  expect {
    score = 85
  }
}
