policy "entra.app.unused" {
  title           = "App not used for 90 days"
  description     = "Nobody signed in to or as this app for 90 days, while it keeps its permissions: remove what nobody misses."
  false_positives = ["An app that runs once a year: put it on the list trusted_apps"]
  severity        = "low"
  techniques      = ["T1078.004"]
  references      = ["https://attack.mitre.org/techniques/T1078/004/"]

  # Where sign-ins are not collected, idle is unknown and the policy is silent.
  where = app.idle > duration("90d") && app.enabled && app.first_party == false && length(app.permissions) > 0
  score = coalesce(app.tier, 4) <= 2 ? 50 : 25

  scope {
    except = ["trusted_apps"]
  }
  risk {
    points = 10 # no sign of an attack
  }
  alert {
    summary = "${app.name} was not used for ${app.idle} and holds permissions of tier ${app.tier}"
  }
}
