# Routing for people on call: few notices that say how many, while files and SIEMs get every alert. docs/sinks.md, "Routing",
# says what each attribute does; `appgovd route test ALERT.json --config DIR` what becomes of one alert.

sink "file" "all" {
  path   = "/var/log/appgovd/alerts.jsonl"
  format = "json"
}
sink "slack" "soc" {
  url = credential("slack-url")
}
sink "pagerduty" "on-call" {
  routing_key = credential("pagerduty-key")
}

# Everything goes to the file at once: this route says nothing of groups. `continue` lets the next routes see it, too.
route {
  name     = "everything"
  sinks    = ["file/all"]
  continue = true
}

# What is grave calls somebody: one page per app, at most six an hour.
route {
  name            = "page"
  where           = alert.severity == "critical" || alert.severity == "high" && app.tier <= 1
  sinks           = ["pagerduty/on-call"]
  group_by        = ["app.id"] # fields of docs/sinks.md; [] = all in one group; ["..."] = every alert by itself
  group_wait      = "30s"      # from the first alert of a group to its notice
  group_interval  = "5m"       # between notices of a group, at least
  repeat_interval = "4h"       # a group that is open is told again; "0s" = never
  resolve_after   = "24h"      # an alert without news is over
  rate {
    max = 6 # notices of this route in each
    per = "1h"
  }
}

# The rest is for the channel, by day, and calls somebody where it is open for long.
route {
  name     = "channel"
  sinks    = ["slack/soc"]
  group_by = ["rule_id"]
  mute     = ["nights", "weekend"]

  # A route within another has its sinks and times where it says nothing; the first one that matches takes the alert.
  route {
    name       = "about-appgovd"
    kinds      = ["health"]
    group_by   = []
    group_wait = "1m"
    mute       = []
    escalate {
      after = "1h"
      sinks = ["pagerduty/on-call"]
    }
  }
}

mute "nights" {
  weekdays  = ["monday", "tuesday", "wednesday", "thursday", "friday"] # on which it begins; without it every day
  from      = "20:00"
  to        = "07:00"         # of the next day, as it is not above from
  time_zone = "Europe/Berlin" # without it the tenant's (time_zones of the agent), else the agent's
}
mute "weekend" {
  weekdays = ["saturday", "sunday"]
  from     = "00:00"
  to       = "24:00"
}

# While an app has a critical alert that is open, nobody is told of its lesser ones.
inhibit {
  source = alert.severity == "critical"
  target = alert.severity == "low" || alert.severity == "medium"
  equal  = ["app.id"]
}

# Known work. `appgovd silence add` does the same without a reload.
silence "tenant-migration" {
  where  = app.name == "Payroll" && alert.kind == "policy"
  author = "ann@example.com"
  reason = "moves to another tenant until Friday"
  from   = "2026-11-30T06:00:00Z"
  until  = "2026-12-04T18:00:00Z"
}
