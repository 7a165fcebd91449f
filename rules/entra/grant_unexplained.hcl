rule "entra.grant.unexplained" {
  title           = "Grant without a trace in the audit log"
  description     = "The inventory shows a permission that no audit record explains, although the log is complete past that time: a lost record, or a path that is not logged."
  false_positives = ["A gap of the provider's log"]
  severity        = "medium"
  techniques      = ["T1562.008"]
  references      = ["https://attack.mitre.org/techniques/T1562/008/"]

  on    = ["inventory.grant.unexplained"]
  where = !coalesce(app.first_party, false)
  score = 40 + (tier(permissions) == 1 ? 45 : 0) + (tier(permissions) == 2 ? 25 : 0)

  suppress {
    by  = [app.id, permissions]
    for = "24h"
  }
  alert {
    summary = "${app.name} holds ${permissions} and no audit record says who gave it"
  }
}
