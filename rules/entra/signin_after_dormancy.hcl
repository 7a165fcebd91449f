rule "entra.signin.after_dormancy" {
  title           = "Dormant app signed in again"
  description     = "A service principal that had signed in before signed in again after 60 days without: a forgotten app with a forgotten secret is what an intruder looks for."
  false_positives = ["A yearly or quarterly job"]
  severity        = coalesce(app.tier, 4) == 1 ? "high" : "medium"
  techniques      = ["T1078.004"]
  references      = ["https://attack.mitre.org/techniques/T1078/004/"]

  on    = ["app.signin"]
  where = result == "success" && signin.kind == "service_principal"

  absence {
    by    = [app.app_id]
    for   = "60d"
    after = 2
    tell  = "return"
  }
  alert {
    summary = "${app.name} signed in from ${source.ip} after ${absence.duration} without a sign-in"
  }
}
