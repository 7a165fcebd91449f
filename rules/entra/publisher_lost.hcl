rule "entra.publisher.verification_lost" {
  title           = "Verified publisher of an app was taken away"
  description     = "The app no longer has a verified publisher: the publisher left, was renounced by the provider, or the app changed hands."
  false_positives = ["A vendor that moves its registration"]
  severity        = "medium"
  techniques      = ["T1199"]
  references      = ["https://learn.microsoft.com/entra/identity-platform/publisher-verification-overview"]

  on    = ["inventory.app.changed"]
  where = length(before("verified_publisher")) > 0 && length(after("verified_publisher")) == 0
  score = coalesce(app.tier, 4) <= 2 ? 65 : 45

  suppress {
    by  = [app.id]
    for = "7d"
  }
  alert {
    summary = "${app.name} lost its verified publisher ${before("verified_publisher")}"
  }
}
