test "the third credential within an hour is the alert" {
  rules = ["entra.credential.several"]
  event {
    at         = "0m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k1" }
  }
  event {
    at         = "5m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k2" }
  }
  event {
    at         = "50m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k3" }
  }
  expect {
    severity = "medium"
    score    = 50
    app      = "Sync"
  }
}

test "three credentials over three hours are no alert" {
  rules = ["entra.credential.several"]
  event {
    at         = "0m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k4" }
  }
  event {
    at         = "59m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k5" }
  }
  event {
    at         = "130m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k6" }
  }
}

test "three records of two credentials are no alert" {
  rules = ["entra.credential.several"]
  event {
    at         = "0m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    credential = { kind = "password", key_id = "k1" }
  }
  event {
    at         = "1m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    credential = { kind = "password", key_id = "k1" }
  }
  event {
    at         = "5m"
    action     = "app.credential.added"
    app        = { id = "sp1", name = "Sync" }
    credential = { kind = "password", key_id = "k2" }
  }
}

test "a failed attempt does not count" {
  rules = ["entra.credential.several"]
  app "Archive" {}
  event {
    at         = "0m"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k1" }
  }
  event {
    at         = "5m"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k2" }
  }
  event {
    at         = "6m"
    action     = "app.credential.added"
    result     = "failure"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k3" }
  }
}

test "three credentials of an app with mail access count more" {
  rules = ["entra.credential.several"]
  app "Archive" {
    permissions = ["Mail.ReadWrite"]
  }
  event {
    at         = "0m"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k1" }
  }
  event {
    at         = "5m"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k2" }
  }
  event {
    at         = "6m"
    action     = "app.credential.added"
    app        = "Archive"
    actor      = { type = "user", id = "u1", name = "Eve" }
    credential = { kind = "password", key_id = "k3" }
  }
  expect {
    score = 75
    app   = "Archive"
  }
}
