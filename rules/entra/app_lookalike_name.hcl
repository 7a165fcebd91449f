rule "entra.app.lookalike_name" {
  title           = "App name imitates a known brand"
  description     = "The name of a new or renamed app looks like a protected name without being it: letters of other scripts, digits for letters, a typing error."
  false_positives = ["A product whose name happens to be close: narrow the list brands"]
  severity        = "high"
  techniques      = ["T1036", "T1528"]
  references = [
    "https://attack.mitre.org/techniques/T1036/",
    "https://www.unicode.org/reports/tr39/",
  ]

  on    = ["app.added", "app.registered", "app.updated", "app.consent.granted", "inventory.app.added", "inventory.app.changed"]
  where = coalesce(result, "success") == "success" && !coalesce(app.first_party, false) && (lookalike(app.name, "brands") || mixed_script(app.name))
  score = 70 + (coalesce(app.tier, 4) <= 2 ? 15 : 0)

  suppress {
    by  = [coalesce(app.app_id, coalesce(app.object_id, app.id)), app.name]
    for = "7d"
  }
  alert {
    summary = "The app ${app.name} imitates a known name"
  }
}
