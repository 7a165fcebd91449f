test "consent to risky apps being allowed is an alert" {
  rules = ["entra.policy.consent_weakened"]
  event {
    action = "policy.changed"
    actor  = { type = "user", name = "Eve" }
    target = { type = "policy", id = "p1", name = "Authorization Policy" }
    changes = {
      AllowUserConsentForRiskyApps = { old = ["False"], new = ["True"] }
    }
  }
  expect {
    severity = "high"
    score    = 75
    summary  = "Eve weakened the consent policy Authorization Policy"
  }
}

test "the legacy grant policy for all users is an alert" {
  rules = ["entra.policy.consent_weakened"]
  event {
    action = "policy.changed"
    target = { type = "policy", id = "p1" }
    changes = {
      PermissionGrantPolicyIdsAssignedToDefaultUserRole = { new = ["ManagePermissionGrantsForSelf.microsoft-user-default-legacy"] }
    }
  }
  expect {
    score = 75
  }
}

test "a stricter policy is no alert" {
  rules = ["entra.policy.consent_weakened"]
  event {
    action = "policy.changed"
    target = { type = "policy", id = "p1" }
    changes = {
      AllowUserConsentForRiskyApps = { old = ["True"], new = ["False"] }
    }
  }
  event {
    action = "policy.changed"
    target = { type = "policy", id = "p1" }
    changes = {
      PermissionGrantPolicyIdsAssignedToDefaultUserRole = { old = ["ManagePermissionGrantsForSelf.microsoft-user-default-legacy"], new = [] }
    }
  }
}

test "a refused change is no alert" {
  rules = ["entra.policy.consent_weakened"]
  event {
    action  = "policy.changed"
    result  = "failure"
    target  = { type = "policy", id = "p2" }
    changes = { AllowUserConsentForRiskyApps = { old = ["False"], new = ["True"] } }
  }
}
