rule "entra.owner.added_to_privileged_app" {
  title           = "Owner added to a privileged app"
  description     = "Owners can add credentials: a new owner of a powerful app has that app's power."
  false_positives = ["A change of responsibility"]
  severity        = "medium"
  techniques      = ["T1098"]
  references      = ["https://attack.mitre.org/techniques/T1098/"]

  on    = ["app.owner.added"]
  where = result == "success" && app.tier <= 2 && !coalesce(in_list("trusted_actors", actor.id), false)
  score = app.tier == 1 ? 75 : 55

  suppress {
    by  = [app.id, target.id, coalesce(actor.id, "")]
    for = "24h"
  }
  alert {
    summary = "${actor.name} made ${coalesce(target.upn, coalesce(target.name, "somebody"))} an owner of ${app.name}, an app of tier ${app.tier}"
  }
}
