rule "entra.role.assigned_to_app" {
  title           = "Directory role given to an app"
  description     = "An app now holds a role of the directory, which acts beside its permissions and is easy to overlook."
  false_positives = ["A tool that needs a narrow role, such as reading reports"]
  severity        = "high"
  techniques      = ["T1098.003"]
  references      = ["https://attack.mitre.org/techniques/T1098/003/"]

  on    = ["app.role.assigned"]
  where = result == "success" && !any_of(coalesce(target.name, ""), "Directory Readers", "Reports Reader", "Message Center Reader", "Usage Summary Reports Reader")
  score = any_of(coalesce(target.name, ""), "Global Administrator", "Company Administrator", "Privileged Role Administrator", "Privileged Authentication Administrator", "Application Administrator", "Cloud Application Administrator", "Hybrid Identity Administrator") ? 95 : 75

  suppress {
    by  = [app.id, target.name]
    for = "1h"
  }
  alert {
    summary = "${actor.name} gave ${app.name} the role ${target.name}"
  }
}
