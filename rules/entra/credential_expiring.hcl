policy "entra.credential.expiring" {
  title           = "Last credential of an app expires within 30 days"
  description     = "The alert stays open until 30 days after the end. No credential of this app outlives the next 30 days: without a new one it stops, and a hurried replacement is where mistakes are made."
  false_positives = ["An app that is meant to end"]
  severity        = "informational"
  techniques      = ["T1552.001"]
  references      = ["https://learn.microsoft.com/entra/identity-platform/howto-create-service-principal-portal"]

  where = app.enabled && age(app.last_expiry) > -duration("30d") && age(app.last_expiry) < duration("30d") && app.first_party == false

  scope {
    except = ["trusted_apps"]
  }
  risk {
    points = 0 # no sign of an attack
  }
  alert {
    summary = "The last credential of ${app.name} expires at ${app.last_expiry}"
  }
}
