rule "entra.app.armed_by_one_person" {
  title           = "One person asked for permissions, granted them and added a credential within an hour"
  description     = "Three different steps by one hand (a consent and the grant that it leaves are one), which together turn an app into a way back into the tenant. Where duties are separated no one person does all of them."
  false_positives = ["An administrator who sets up a new app alone: put the object id on the list trusted_actors"]
  severity        = "high"
  techniques      = ["T1098.001", "T1098.003"]
  references = [
    "https://attack.mitre.org/techniques/T1098/",
    "https://learn.microsoft.com/entra/architecture/security-operations-applications",
  ]

  on = ["app.updated", "app.permission.granted", "app.consent.granted", "app.credential.added"]
  where = (
    result == "success" && actor.type == "user" && (action != "app.updated" || length(added("RequiredResourceAccess")) > 0)
    && (any_of(action, "app.updated", "app.credential.added") || consent.type == "all_principals" || length(permissions.application) > 0)
    && !coalesce(in_list("trusted_actors", actor.id), false)
  )
  score = 75

  threshold {
    count    = 3
    distinct = any_of(action, "app.consent.granted", "app.permission.granted") ? "grant" : action
    by       = [actor.id]
    within   = "1h"
  }
  suppress {
    by  = [actor.id]
    for = "24h"
  }
  alert {
    summary = "${actor.name} asked for permissions, granted them and added a credential within an hour, the last to ${coalesce(app.name, app.id)}"
  }
}
