# Alerts into a file, one JSON document per line, synced to disk before an alert counts as delivered.
# For logrotate: move the file away and send SIGHUP; the file is opened anew, and no line is lost or cut.
#
#   /var/lib/appgovd/alerts.jsonl {
#     daily
#     rotate 30
#     missingok
#     compress
#     delaycompress
#     postrotate
#       systemctl reload appgovd
#     endscript
#   }
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "file" "alerts" {
  path   = "/var/lib/appgovd/alerts.jsonl" # made with mode 0600; the directory must exist
  format = "ecs"                           # ecs, json, ocsf, cim, cef, leef
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
}

rules = ["../rules"]
