rule "entra.app.permissions_requested_by_script" {
  title           = "A person's script made an app registration ask for more permissions"
  description     = "The first step of turning an existing app against its tenant: it asks for more. By itself it gives nothing; read it beside a later grant."
  false_positives = ["A developer who works with PowerShell or a command line"]
  severity        = "low"
  techniques      = ["T1098.003"]
  references      = ["https://attack.mitre.org/techniques/T1098/003/"]

  on    = ["app.updated"]
  where = result == "success" && actor.type == "user" && length(added("RequiredResourceAccess")) > 0 && matches(source.user_agent, "PowerShell|python|curl|wget|Go-http-client|okhttp|axios|node-fetch|AADInternals|ROADtools")
  score = 30

  suppress {
    by  = [coalesce(app.object_id, app.id)]
    for = "1h"
  }
  alert {
    summary = "${actor.name} made ${app.name} ask for ${added("RequiredResourceAccess")} with ${source.user_agent}"
  }
}
