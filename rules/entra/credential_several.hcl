rule "entra.credential.several" {
  title           = "Several credentials added to one app in a short time"
  description     = "Three credentials within an hour are more than a rotation needs; intruders add spares."
  false_positives = ["A migration of an app between stages"]
  severity        = "medium"
  techniques      = ["T1098.001"]
  references      = ["https://attack.mitre.org/techniques/T1098/001/"]

  on    = ["app.credential.added"]
  where = result == "success"
  score = 50 + (coalesce(app.tier, 4) <= 2 ? 25 : 0)

  threshold {
    count    = 3
    distinct = coalesce(credential.key_id, coalesce(correlation_id, ""))
    by       = [coalesce(app.object_id, app.id)]
    within   = "1h"
  }
  suppress {
    by  = [coalesce(app.object_id, app.id)]
    for = "24h"
  }
  alert {
    summary = "Three or more credentials were added to ${app.name} within an hour, the last by ${actor.name}"
  }
}
