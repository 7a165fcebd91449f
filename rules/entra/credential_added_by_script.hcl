rule "entra.credential.added_by_script" {
  title           = "A person's script added a credential to an app"
  description     = "A secret or certificate was added with the rights of a user, but by a script instead of the portal: how a stolen session is turned into lasting access. Pipelines act as apps."
  false_positives = ["An administrator who works with PowerShell: put the object id on the list trusted_actors"]
  severity        = "medium"
  techniques      = ["T1098.001"]
  references = [
    "https://attack.mitre.org/techniques/T1098/001/",
    "https://learn.microsoft.com/entra/architecture/security-operations-applications",
  ]

  on = ["app.credential.added"]
  where = (
    result == "success" && actor.type == "user" && matches(source.user_agent, "PowerShell|python|curl|wget|Go-http-client|okhttp|axios|node-fetch|AADInternals|ROADtools")
    && !coalesce(in_list("trusted_actors", actor.id), false)
  )
  score = 55 + (coalesce(app.tier, 4) <= 2 ? 25 : 0)

  suppress {
    by  = [coalesce(app.object_id, app.id)]
    for = "24h"
  }
  alert {
    summary = "${actor.name} added a ${coalesce(credential.kind, "credential")} to ${app.name} with ${source.user_agent}"
  }
}
