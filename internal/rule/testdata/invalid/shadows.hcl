rule "s.live" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
}
rule "s.one" {
  title     = "t"
  severity  = "low"
  mode      = "active"
  on        = ["app.added"]
  shadow_of = "s.live" # ERROR 15-23: A shadow only watches: A rule with shadow_of is in mode "audit": delete mode, or delete shadow_of to let it alert.
}
rule "s.two" {
  title     = "t"
  severity  = "low"
  on        = ["app.added"]
  shadow_of = "s.lve" # ERROR 15-22: Unknown rule: There is no rule "s.lve" that alerts itself. Did you mean "s.live"?
}
rule "s.three" {
  title     = "t"
  severity  = "low"
  on        = ["app.added"]
  shadow_of = "s.two" # ERROR 15-22: Unknown rule: There is no rule "s.two" that alerts itself.
}
policy "s.four" {
  title     = "t"
  severity  = "low"
  where     = true
  shadow_of = "s.live" # ERROR 15-23: Unknown policy: There is no policy "s.live" that alerts itself.
}
