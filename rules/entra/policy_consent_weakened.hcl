rule "entra.policy.consent_weakened" {
  title           = "Consent policy of the tenant was weakened"
  description     = "Users may now consent to more than before, or to apps that the provider calls risky."
  false_positives = ["A planned change of the consent policy"]
  severity        = "high"
  techniques      = ["T1562", "T1484"]
  references = [
    "https://attack.mitre.org/techniques/T1562/",
    "https://learn.microsoft.com/entra/identity/enterprise-apps/configure-user-consent",
  ]

  on = ["policy.changed"]
  where = result == "success" && (
    glob(added("AllowUserConsentForRiskyApps"), "*true*")
    || contains(added("PermissionGrantPolicyIdsAssignedToDefaultUserRole"), "microsoft-user-default-legacy", "microsoft-user-default-allow-consent-apps")
  )
  score = 75

  suppress {
    by  = [coalesce(target.id, "")]
    for = "1h"
  }
  alert {
    summary = "${actor.name} weakened the consent policy ${coalesce(target.name, "of the tenant")}: ${changes}"
  }
}
