rule "entra.signin.new_asn" {
  title           = "App signed in from a network it never used before"
  description     = "A service principal used its credential from an autonomous system that it had not used in 30 days: a stolen secret is used where the thief is. The first week of a new app is spared."
  false_positives = ["A vendor that moves between cloud regions"]
  severity        = "medium"
  techniques      = ["T1078.004"]
  references = [
    "https://attack.mitre.org/techniques/T1078/004/",
    "https://learn.microsoft.com/entra/identity/monitoring-health/concept-service-principal-sign-ins",
  ]

  on    = ["app.signin"]
  where = result == "success" && signin.kind == "service_principal" && !coalesce(app.first_party, false) && coalesce(age(app.first_seen) > duration("7d"), true)
  score = 45 + (coalesce(app.tier, 4) == 1 ? 35 : 0) + (coalesce(app.tier, 4) == 2 ? 20 : 0) + (in_list("hosting_networks", source.asn) ? 10 : 0)

  first_seen {
    key         = [app.app_id, source.asn]
    history     = "30d"
    min_history = "7d"
  }
  suppress {
    by  = [app.app_id]
    for = "6h"
  }
  alert {
    summary = "${app.name} signed in from AS${source.asn} (${coalesce(source.as_org, "no name")}, ${coalesce(source.country, "country unknown")}) for the first time"
  }
}
