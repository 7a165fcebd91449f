# Alerts into Prometheus' Alertmanager (API v2), which groups, inhibits, silences and routes them. Its labels are the identity of an
# alert: alertname (the rule), alert_id, severity, tenant, provider, app_id, kind, detection_source. appgovd sends no alert again that
# nothing new is said about, unless a route has repeat_interval: it fires until it is resolved, a detection at most for as long as fires says.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "alertmanager" "soc" {
  url    = "https://alertmanager.example.com:9093" # with the path prefix where there is one; /api/v2/alerts is added
  labels = { team = "soc" }                        # of every alert, for its routes
  fires  = "24h"                                   # how long a detection fires, which nobody resolves

  bearer_token = credential("alertmanager-token") # or none, or:
  # username   = "appgovd"
  # password   = credential("alertmanager-password")
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
  # }
}

rules = ["../rules"]
