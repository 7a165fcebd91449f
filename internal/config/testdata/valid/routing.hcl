sink "file" "all" {
  path = "/tmp/a"
}
sink "slack" "soc" {}
sink "pagerduty" "boss" {}

mute "nights" {
  weekdays  = ["mon", "Tuesday"]
  from      = "22:00"
  to        = "06:00"
  time_zone = "Europe/Berlin"
}

silence "migration" {
  where  = app.name == "Payroll" && alert.kind == "policy"
  author = "ann"
  reason = "moves to another tenant"
  until  = "2026-12-01T10:00:00+02:00"
}

inhibit {
  source = alert.severity == "critical"
  target = alert.severity == "low"
  equal  = ["app.id"]
}

route {
  name     = "everything"
  sinks    = ["file/all"]
  continue = true
}

route {
  name            = "on-call"
  where           = alert.severity == "high"
  sinks           = ["slack/soc"]
  group_by        = ["rule_id", "app.id"]
  group_wait      = "1m"
  repeat_interval = "0s"
  mute            = ["nights"]
  rate {
    max = 3
    per = "1m"
  }
  route {
    kinds    = ["health"]
    group_by = []
    escalate {
      after = "1h"
      sinks = ["pagerduty/boss"]
    }
  }
}
