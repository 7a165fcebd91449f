sink "file" "a" {
  path = "/tmp/a"
}

route { # ERROR A route names the sinks of its alerts
  name = "none"
}

route {
  name            = "on-call"
  sinks           = ["file/a"]
  group_wait      = "soon" # ERROR is no duration
  group_interval  = "0s"   # ERROR must lie between 1s
  repeat_interval = "31d"  # ERROR must lie between 0s and 720h0m0s
  resolve_after   = ""     # ERROR is no duration
  mute            = ["night"] # ERROR Did you mean "nights"?
  rate {
    max = 0 # ERROR must lie between 1 and 100
    per = "x" # ERROR is no duration
  }
  escalate {
    after = "0s"         # ERROR must lie between 1s
    sinks = ["file/aa"] # ERROR Did you mean "file/a"?
  }
  route {
    kinds = ["detect"] # ERROR it must be one of detection
    sinks = ["file/b"] # ERROR does not exist
  }
}

route { # ERROR A route "on-call" is already defined
  name  = "on-call"
  sinks = ["file/a"]
}

route {
  sinks = ["file/a"]
  rate { # ERROR this one has 2
    max = 1
    per = "1m"
  }
  rate {
    max = 2
    per = "1m"
  }
}

mute "nights" {
  from      = "24:00"      # ERROR begins before 24:00
  to        = "6:00"       # ERROR is no time of the day
  weekdays  = ["tuseday"] # ERROR Did you mean "tuesday"?
  time_zone = "Mars/Base" # ERROR no time zone
}

mute "nights" { # ERROR A mute "nights" is already defined
  from = "22:60" # ERROR is no time of the day
  to   = "06:00"
}

silence "a b" { # ERROR must be 1 to 64 letters
  where  = true
  author = " " # ERROR who keeps people from being told
  reason = ""  # ERROR who keeps people from being told
  until  = "tomorrow" # ERROR is no time of RFC 3339
}

silence "window" {
  where  = true
  author = "ann"
  reason = "maintenance"
  from   = "2026-12-02T00:00:00Z"
  until  = "2026-12-01T00:00:00Z" # ERROR ends before it begins
}
