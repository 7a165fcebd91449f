rule "entra.consent.tenant_wide" {
  title           = "Tenant-wide consent to risky permissions"
  description     = "An app was given delegated access in the name of every user of the tenant, to data or to the control plane."
  false_positives = ["A planned roll-out of an enterprise app"]
  severity        = "high"
  techniques      = ["T1528", "T1098.003"]
  references = [
    "https://attack.mitre.org/techniques/T1528/",
    "https://learn.microsoft.com/entra/identity/enterprise-apps/grant-admin-consent",
  ]

  # A grant written through the API leaves no consent record, only the second action.
  on = ["app.consent.granted", "app.permission.granted"]
  where = (
    result == "success" && consent.type == "all_principals" && !coalesce(app.first_party, false)
    && (tier(permissions) <= 2 || has_permission(permissions, "Mail.Read*", "Mail.Send*", "MailboxSettings.ReadWrite", "Files.Read*", "Sites.*", "Chat.Read*", "Notes.Read*", "*.AccessAsUser.All"))
  )
  score = 70 + (tier(permissions) == 1 ? 25 : 0)

  suppress {
    by  = [app.id, coalesce(actor.id, ""), permissions]
    for = "1h"
  }
  alert {
    summary = "${actor.name} gave ${coalesce(app.name, app.id)} ${permissions} on behalf of all users"
  }
}
