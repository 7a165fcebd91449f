rule "entra.signin.failures" {
  title           = "App failed to sign in many times and never succeeded"
  description     = "Twenty failed sign-ins of a service principal within an hour and no successful one: someone tries secrets, or an expired one is still in use."
  false_positives = ["A job whose secret has expired"]
  severity        = "low"
  techniques      = ["T1110"]
  references      = ["https://attack.mitre.org/techniques/T1110/"]

  on    = ["app.signin"]
  where = signin.kind == "service_principal"

  threshold "failures" {
    count  = 20
    where  = result == "failure"
    by     = [app.app_id]
    within = "1h"
  }
  threshold "no success" {
    at_most = 0
    where   = result == "success"
    by      = [app.app_id]
    within  = "1h"
  }
  suppress {
    by  = [app.app_id]
    for = "24h"
  }
  alert {
    summary      = "${app.name} failed to sign in 20 times within an hour without success, the last from ${source.ip}"
    max_evidence = 20
  }
}
