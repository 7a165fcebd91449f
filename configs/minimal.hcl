# The least that works: one tenant, alerts into a file.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "file" "alerts" {
  path = "/var/lib/appgovd/alerts.jsonl"
}

rules = ["../rules"]
