rule "entra.permission.granted_by_app" {
  title           = "App gave an application permission to an app"
  description     = "No person stood behind this grant: an app with the power to assign permissions used it, on itself or on another app."
  false_positives = ["Infrastructure as code that manages grants: put its object id on the list trusted_actors"]
  severity        = "high"
  techniques      = ["T1098.003"]
  references      = ["https://attack.mitre.org/techniques/T1098/003/"]

  on    = ["app.permission.granted"]
  where = result == "success" && actor.type == "app" && length(permissions.application) > 0 && coalesce(actor.origin, "external") != "first_party" && !coalesce(in_list("trusted_actors", actor.id), false)
  score = tier(permissions.application) == 1 ? 95 : 75

  suppress {
    by  = [app.id, actor.id]
    for = "1h"
  }
  alert {
    summary = "The app ${actor.name} gave ${app.name} ${permissions.application}"
  }
}
