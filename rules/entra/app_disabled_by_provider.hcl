rule "entra.app.disabled_by_provider" {
  title           = "Provider disabled an app for abuse"
  description     = "The provider itself switched the app off: treat what it could reach as touched."
  false_positives = []
  severity        = "high"
  techniques      = ["T1528"]
  references      = ["https://learn.microsoft.com/entra/identity/enterprise-apps/application-properties"]

  on    = ["inventory.app.changed"]
  where = any_of(after("disabled_by_microsoft"), "DisabledDueToViolationOfServicesAgreement")
  score = coalesce(app.tier, 4) <= 2 ? 90 : 75

  suppress {
    by  = [app.id]
    for = "7d"
  }
  alert {
    summary = "The provider disabled ${app.name} for a violation of its terms; ${app.users} users had consented"
  }
}
