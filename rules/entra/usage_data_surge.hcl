policy "entra.usage.data_surge" {
  title           = "App reads far more data than before"
  description     = "On one day the calls of an app to Microsoft Graph return more than a gigabyte, ten times what they returned on a day before: what a stolen token or secret of an app is used for. Not compared until a week of its days is known."
  false_positives = ["A migration, a first full backup or a new index: put the app on the list trusted_apps for as long"]
  severity        = "medium"
  techniques      = ["T1114.002", "T1213", "T1530"]
  references      = ["https://attack.mitre.org/techniques/T1530/"]

  # Where calls are not collected the figures are unknown and the policy is silent.
  where = app.response_bytes_today > 1073741824 && app.response_bytes_today > 10 * app.response_bytes_mean && app.first_party == false && app.is_appgovd == false
  score = 55

  scope {
    except = ["trusted_apps"]
  }
  alert {
    summary = "${app.name} read ${app.response_bytes_today} bytes today, ${app.response_bytes_mean} on a day before"
  }
}
