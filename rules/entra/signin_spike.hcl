rule "entra.signin.spike" {
  title           = "App signs in far more often than it used to"
  description     = "A service principal signed in more than five times as often in an hour as in the same hour of the weeks before, and 200 times at least: it may be harvesting data."
  false_positives = ["A migration or a backfill", "The first run of a new job"]
  severity        = "medium"
  techniques      = ["T1078.004", "T1530"]
  references      = ["https://attack.mitre.org/techniques/T1530/"]

  on    = ["app.signin"]
  where = result == "success" && signin.kind == "service_principal"

  compare {
    measure     = count()
    by          = [app.app_id]
    window      = "1h"
    baseline    = "hour_of_week"
    history     = "4w"
    min_samples = 3
    above       = "500 %"
    at_least    = 200
  }
  suppress {
    by  = [app.app_id]
    for = "24h"
  }
  alert {
    summary = "${app.name} signed in ${compare.value} times within an hour; ${compare.baseline} were usual at this hour of the week"
  }
}
