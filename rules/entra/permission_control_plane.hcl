rule "entra.permission.control_plane" {
  title           = "App was given an application permission over the control plane"
  description     = "With this permission the app can, by itself, grant roles, permissions or credentials: it can take over the tenant."
  false_positives = ["A management tool that was approved: expect one alert when it is set up"]
  severity        = "critical"
  techniques      = ["T1098.003"]
  references = [
    "https://attack.mitre.org/techniques/T1098/003/",
    "https://learn.microsoft.com/graph/permissions-reference",
  ]

  # A grant that leaves no audit record is told by entra.grant.unexplained.
  on    = ["app.permission.granted"]
  where = result == "success" && tier(permissions.application) == 1 && !coalesce(app.first_party, false)
  score = 90 + (actor.type == "app" ? 10 : 0)

  suppress {
    by  = [app.id, permissions.application]
    for = "1h"
  }
  alert {
    summary = "${coalesce(actor.name, "Somebody")} gave ${app.name} ${permissions.application}"
  }
}
