rule "entra.upstream.alert" {
  title           = "Alert of the provider's own app governance"
  description     = "What the provider's app governance found is carried on, and follows its updates."
  false_positives = ["What the provider's own classification calls a false positive"]
  severity        = "medium"
  techniques      = ["T1528"]
  references      = ["https://learn.microsoft.com/defender-cloud-apps/app-governance-anomaly-detection-alerts"]

  on    = ["alert.upstream"]
  where = coalesce(upstream.classification, "") != "falsePositive"
  score = 50 + (upstream.severity == "high" ? 30 : 0) - (any_of(coalesce(upstream.severity, ""), "low", "informational") ? 25 : 0)

  alert {
    summary = "${upstream.title}"
  }
}
