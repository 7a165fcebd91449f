rule "entra.consent.burst" {
  title           = "Many users consented to one app in a short time"
  description     = "Five or more users let the same app in within an hour, as after a mass mailing that leads to a consent page."
  false_positives = ["The announced start of a new app"]
  severity        = "high"
  techniques      = ["T1528", "T1566.002"]
  references      = ["https://attack.mitre.org/techniques/T1566/002/"]

  on    = ["app.consent.granted"]
  where = result == "success" && consent.type == "principal" && !coalesce(app.first_party, false)
  score = 65 + (coalesce(app.publisher.verified, false) ? 0 : 15)

  threshold {
    count    = 5
    distinct = actor.id
    by       = [app.id]
    within   = "1h"
  }
  suppress {
    by  = [app.id]
    for = "24h"
  }
  alert {
    summary = "At least 5 users consented to ${app.name} within an hour"
  }
}
