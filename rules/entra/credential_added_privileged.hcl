rule "entra.credential.added_to_privileged_app" {
  title           = "Credential added to a privileged app"
  description     = "Whoever holds the new secret or certificate can act as an app that reaches the control plane or the data of the whole organisation."
  false_positives = ["Rotation by a deployment pipeline: put it on the list trusted_actors"]
  severity        = "high"
  techniques      = ["T1098.001"]
  references = [
    "https://attack.mitre.org/techniques/T1098/001/",
    "https://learn.microsoft.com/entra/architecture/security-operations-applications",
  ]

  # Not inventory.credential.added: it names no actor, and would tell again what a
  # trusted actor did.
  on    = ["app.credential.added"]
  where = app.tier <= 2 && result == "success" && !coalesce(in_list("trusted_actors", actor.id), false)
  score = (app.tier == 1 ? 80 : 65) + (coalesce(app.publisher.verified, false) ? 0 : 10)

  suppress {
    by  = [app.id, coalesce(credential.key_id, ""), coalesce(actor.id, "")]
    for = "24h"
  }
  alert {
    summary = "${coalesce(actor.name, "Somebody")} added a ${coalesce(credential.kind, "credential")} to ${app.name}, an app of tier ${app.tier}"
  }
}
