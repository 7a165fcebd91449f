rule "entra.credential.used_elsewhere" {
  title           = "New credential of ${added.app.name} used from another network"
  description     = "A credential was added to an app, and within a day the app signed in with a secret or certificate from another autonomous system than the one it was added from: who adds a credential for themselves uses it at home."
  false_positives = ["An administrator at the office adds the secret of a service that runs in a data centre; list its network, or the app, in an exception"]
  severity        = coalesce(added.app.tier, 4) <= 2 ? "high" : "medium"
  techniques      = ["T1098.001", "T1078.004"]
  references = [
    "https://attack.mitre.org/techniques/T1098/001/",
    "https://attack.mitre.org/techniques/T1078/004/",
  ]

  sequence {
    by     = [app.app_id]
    within = "24h"
    step "added" {
      on    = ["app.credential.added"]
      where = result == "success"
    }
    step "used" {
      on    = ["app.signin"]
      where = result == "success" && signin.kind == "service_principal" && source.asn != added.source.asn
      first_seen {
        key     = [app.app_id, source.asn]
        history = "30d"
      }
    }
  }
  suppress {
    by  = [app.app_id]
    for = "24h"
  }
  alert {
    summary = "${added.actor.name} added a credential to ${added.app.name} from AS${added.source.asn}, and it signed in from AS${used.source.asn} for the first time"
  }
}
