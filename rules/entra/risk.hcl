risk "app" {
  title       = "Several rules point at one app"
  description = "No single rule reaches the line: it takes two or more, within days, whose findings are about the same app."
  severity    = "high"
  half_life   = "7d"
  rule_cap    = 60
  alert_at    = 90
  resolve_at  = 60
}
