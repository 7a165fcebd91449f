test "thirty days before the last credential ends there is an alert, and a new credential resolves it" {
  rules = ["entra.credential.expiring"]
  clock = "2026-03-01T00:00:00Z"
  app "Billing" {
    credential "k1" {
      start = "2025-04-15"
      end   = "2026-04-15"
    }
  }
  tick {
    at = "10d"
  }
  tick {
    at = "20d"
  }
  app "Billing" {
    at = "21d"
    credential "k1" {
      start = "2025-04-15"
      end   = "2026-04-15"
    }
    credential "k2" {
      start = "2026-03-22"
      end   = "2027-03-22"
    }
  }
  tick {
    at = "22d"
  }
  expect {
    state    = "new"
    severity = "informational"
    app      = "Billing"
    summary  = "expires at 2026-04-15"
  }
  expect {
    state = "resolved"
    app   = "Billing"
  }
}

test "a successor, a far end and a credential long dead are no alert" {
  rules = ["entra.credential.expiring"]
  clock = "2026-03-01T00:00:00Z"
  app "With Successor" {
    credential "k1" {
      end = "2026-03-10"
    }
    credential "k2" {
      end = "2026-09-10"
    }
  }
  app "Far" {
    credential "k1" {
      end = "2028-01-01"
    }
  }
  app "Dead" {
    credential "k1" {
      end = "2025-01-01"
    }
  }
  tick {
    at = "1h"
  }
}

test "a disabled app and the provider's own are no alert" {
  rules = ["entra.credential.expiring"]
  clock = "2026-03-01T00:00:00Z"
  app "Switched Off" {
    enabled = false
    credential "k1" {
      end = "2026-04-15"
    }
  }
  app "Provider Service" {
    origin = "first_party"
    credential "k1" {
      end = "2026-04-15"
    }
  }
  tick {
    at = "20d"
  }
}

test "the end itself resolves nothing; thirty days later the app is given up" {
  rules = ["entra.credential.expiring"]
  clock = "2026-03-01T00:00:00Z"
  app "Billing" {
    credential "k1" {
      end = "2026-04-15"
    }
  }
  tick {
    at = "20d"
  }
  tick {
    at = "50d"
  }
  expect {
    state = "new"
    app   = "Billing"
  }
}
