# Incidents in PagerDuty by the Events API v2: dedup_key is the alert's id, so that an update adds to its incident and the
# resolution resolves it. critical, high and medium are PagerDuty's critical, error and warning, the rest is info.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "pagerduty" "on-call" {
  routing_key = credential("pagerduty-key") # of an integration "Events API v2"
  region      = "us"                        # or "eu"
  # url       = "https://relay.example.com/v2/enqueue" # instead of region

  min_severity = "high" # who is woken by less?
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
  # }
}

rules = ["../rules"]
