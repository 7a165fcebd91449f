# Every option of the agent, with its default, and one block of each kind.
agent {
  state_dir        = "/var/lib/appgovd" # ledger, cursors, snapshots; mode 0700
  initial_lookback = "1d"               # how far back logs are read at the first start
  max_bytes        = "10GiB"            # of the ledger; when it is full, polling waits
  history          = "7d"               # how long frames stay that nobody needs
  # admin_socket   = "/run/appgovd/admin.sock" # default: admin.sock in state_dir
  # metrics_listen = "127.0.0.1:9464"          # /healthz, /readyz, /metrics; default: on the admin socket only
  log_level        = "info" # debug, info, warn, error
  log_format       = "json" # json, console
  time_zone        = "UTC"  # of hour() and weekday() in rules
  tick             = "30s"  # time for policies and absences
  snapshot         = "10m"  # of the state
  shutdown_timeout = "20s"  # for the sinks to take what is there
}

source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = file("/etc/appgovd/entra.secret") # or env("NAME"), credential("name")

  # Instead of client_secret:
  # client_certificate {
  #   file     = "/etc/appgovd/entra.pem"
  #   password = credential("entra-certificate")
  # }

  # collect = ["applications", "service_principals", "delegated_grants", "app_role_assignments", "directory_audits",
  #   "signins_interactive", "signins_non_interactive", "signins_service_principal", "signins_managed_identity", "alerts"]
  poll_interval   = "1m"   # logs and alerts
  sync_interval   = "5m"   # inventory
  resync_interval = "168h" # full reads of the inventory
  overlap         = "10m"  # read again at each poll
  sweep_interval  = "1h"   # for late records
  sweep_depth     = "24h"
  lateness        = "30m"  # after which a source counts as complete
  page_size       = 1000
  budget_share    = 0.8 # of Microsoft's limits
}

sink "file" "alerts" {
  path   = "/var/lib/appgovd/alerts.jsonl"
  format = "ecs" # ecs, json
}

sink "stdout" "console" {
  format = "json"
}

# Routes are tried in order; the first that matches ends the search unless
# `continue`. An alert that no route matches goes to every sink.
route {
  min_severity = "informational" # informational, low, medium, high, critical
  rules        = ["*"]           # globs over rule ids
  kinds        = ["detection", "policy", "summary", "upstream", "health"]
  sinks        = ["file/alerts", "stdout/console"]
  continue     = false
}

# MaxMind databases, where you have them:
# geoip {
#   asn_database     = "/usr/share/GeoIP/GeoLite2-ASN.mmdb"
#   country_database = "/usr/share/GeoIP/GeoLite2-Country.mmdb"
# }

rules = ["../rules"]
