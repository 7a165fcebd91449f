# Alerts on standard output, one JSON document per line: for trying things out, and for pipes. Log lines go to standard error.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = env("ENTRA_SECRET")
}

sink "stdout" "screen" {
  format = "json" # ecs (default), json, ocsf, cim, cef, leef
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
}

rules = ["../rules"]
