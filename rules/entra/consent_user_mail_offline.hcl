rule "entra.consent.user_mail_offline" {
  title           = "User consented to mail access that outlives the session"
  description     = "A user allowed an app to read or send mail, together with a refresh token: what consent phishing asks for."
  false_positives = ["A mail client that users may choose themselves"]
  severity        = "high"
  techniques      = ["T1528", "T1114.002"]
  references = [
    "https://attack.mitre.org/techniques/T1528/",
    "https://learn.microsoft.com/defender-office-365/detect-and-remediate-illicit-consent-grants",
  ]

  on = ["app.consent.granted", "app.permission.granted"]
  where = (
    result == "success" && consent.type == "principal" && !coalesce(app.first_party, false)
    && has_permission(permissions, "delegated:Mail.Read*", "delegated:Mail.Send*", "MailboxSettings.ReadWrite", "IMAP.AccessAsUser.All", "POP.AccessAsUser.All", "EWS.AccessAsUser.All", "EAS.AccessAsUser.All")
    && (has_permission(permissions, "offline_access") || has_permission(consent.scopes, "offline_access") || has_permission(app.delegated, "offline_access"))
  )
  score = 70 + (coalesce(app.publisher.verified, false) ? 0 : 15)

  suppress {
    by  = [app.id, actor.id]
    for = "1h"
  }
  alert {
    summary = "${actor.upn} let ${app.name} use ${permissions}"
  }
}
