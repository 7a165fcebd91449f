risk "host" {} # ERROR 6-12: Unknown entity: There is no risk of "host": write risk "app" or risk "actor".
risk "app" {
  half_life  = "0s" # ERROR 16-20: Bad duration: half_life must be longer than nothing.
  alert_at   = 60
  resolve_at = 70 # ERROR 16-18: Bad number: resolve_at must not be above alert_at: the alert would be over at once.
  rule_cap   = 101 # ERROR 16-19: Bad number: rule_cap must be an integer from 1 to 100.
  halflife   = "1d" # ERROR 3-11: Unknown attribute: A risk block has no attribute "halflife". Did you mean "half_life"?
}
risk "app" {} # ERROR 6-11: Risk defined twice: The risk of "app" already stands at testdata/invalid/risk.hcl:2,6-11.

rule "r.points" {
  title    = "t"
  severity = "low"
  on       = ["app.added"]
  risk {
    points   = "many" # ERROR 16-22: Wrong type: points must be an int; this is a string.
    entities = ["apps"] # ERROR 17-23: Unknown entity: A rule adds to the risk of app or actor. Did you mean "app"?
  }
}
policy "r.policy" {
  title    = "t"
  severity = "low"
  where    = app.risk > 50
  risk {
    points   = app.risk
    entities = ["actor"] # ERROR 17-24: Unknown entity: A policy adds to the risk of app.
  }
}
