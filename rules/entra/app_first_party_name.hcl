rule "entra.app.first_party_name" {
  title           = "Foreign app bears the name of a provider's own app"
  description     = "An app whose owner is not the provider calls itself exactly like one of the provider's apps, so that users and analysts take it for harmless."
  false_positives = ["An app of your own that was named carelessly"]
  severity        = "high"
  techniques      = ["T1036.005", "T1528"]
  references      = ["https://attack.mitre.org/techniques/T1036/005/"]

  on    = ["app.added", "app.registered", "app.updated", "app.consent.granted", "inventory.app.added", "inventory.app.changed"]
  where = coalesce(result, "success") == "success" && in_list("first_party_names", app.name) && app.first_party == false
  score = 70 + (app.origin == "external" ? 15 : 0)

  suppress {
    by  = [coalesce(app.app_id, coalesce(app.object_id, app.id))]
    for = "7d"
  }
  alert {
    summary = "${app.name} (${app.app_id}) bears a provider's name but belongs to tenant ${app.owner_tenant}"
  }
}
