# Every option of the agent, with its default, and one block of each kind.
agent {
  state_dir        = "/var/lib/appgovd" # ledger, cursors, snapshots; mode 0700
  initial_lookback = "1d"               # how far back logs are read at the first start
  max_bytes        = "10GiB"            # of the ledger; when it is full, polling waits
  history          = "7d"               # how long frames stay that nobody needs
  compression      = "zstd"             # of the ledger: zstd, none (where the file system compresses)
  dead_letter_history = "90d"            # how long a refused alert waits for `appgovd deadletter`
  links = {                           # pages that alerts and answers about apps name (docs/sinks.md); the default are Microsoft's, {} = none
    "Entra admin centre" = "https://entra.microsoft.com/#view/Microsoft_AAD_IAM/ManagedAppMenuBlade/~/Overview/objectId/{service_principal_id}/appId/{app_id}"
    "Microsoft Defender" = "https://security.microsoft.com/app?oauthAppId={app_id}"
  }
  reader_grace     = "1d"               # how long alerts are kept for a sink that left the configuration
  # overflow_dir   = "/srv/appgovd"      # where sinks with when_full = "overflow" keep what max_bytes has no room for
  # overflow_bytes = "10GiB"             # of it; when it is full too, polling waits
  # admin_socket   = "/run/appgovd/admin.sock" # default: admin.sock in state_dir
  # metrics_listen = "127.0.0.1:9464"          # /healthz, /readyz, /metrics; default: on the admin socket only
  log_level        = "info" # debug, info, warn, error
  log_format       = "json" # json, console
  time_zone        = "UTC"  # of hour() and weekday() in rules, and of a mute that has none of its own
  # time_zones     = { contoso = "Europe/Berlin" } # of tenants, by the name of a source block: before time_zone, for mutes
  tick             = "30s"  # time for policies and absences
  snapshot         = "10m"  # of the state
  shutdown_timeout = "20s"  # for the sinks to take what is there
}

source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = file("/etc/appgovd/entra.secret") # or env("NAME"), credential("name")

  # Instead of client_secret, one of:
  # client_certificate { # several: the newest that the service takes counts, for rotation
  #   file     = "/etc/appgovd/entra.pem"
  #   password = credential("entra-certificate")
  # }
  # workload_identity {
  #   token_file = "/var/run/secrets/azure/tokens/azure-identity-token"
  # }
  # managed_identity {
  #   system_assigned = true
  # }

  # cloud = "worldwide" # or "gcc", "gcc_high", "dod", "china"; graph_url, login_url and office_url follow

  # collect = ["applications", "service_principals", "delegated_grants", "app_role_assignments", "directory_audits",
  #   "signins_interactive", "signins_non_interactive", "signins_service_principal", "signins_managed_identity", "alerts",
  #   "risk_detections", "application_owners", "service_principal_owners", "federated_credentials", "role_definitions", "directory_roles", "eligible_roles",
  #   "permission_grant_policies", "authorization_policy", "admin_consent_policy", "app_management_policies", "default_app_management_policy",
  #   "consent_requests", "app_signin_activities", "credential_signin_activities", "risky_service_principals", "oauth_app_info", "graph_activity"]
  # Only where collect names them: "office_exchange", "office_sharepoint", "office_general", "office_dlp" (unified audit log of Microsoft 365) or "cloud_app_events",
  # "office_directory" in place of audits and interactive sign-ins, "spn_signin_events" in place of the two sign-in logs of apps. "default" stands for the list above:
  # collect    = ["default", "office_exchange", "office_sharepoint", "office_general"]
  # resource_app_ids = ["00000000-0000-0000-0000-000000000000"] # client ids of further APIs, your own for example, whose application permissions are read
  poll_interval   = "1m"   # logs and alerts
  sync_interval   = "5m"   # inventory
  resync_interval = "168h" # full reads of the inventory
  overlap         = "10m"  # read again at each poll, at most 48h
  sweep_interval  = "1h"   # for late records
  sweep_depth     = "24h"  # at most 48h
  lateness        = "2h"   # of records, at most: complete through the last sweep (or poll, if its overlap is longer) less this
  page_size       = 1000
  budget_share    = 0.8 # of Microsoft's limits
}

sink "file" "alerts" {
  path      = "/var/lib/appgovd/alerts.jsonl"
  format    = "ecs"   # ecs, json, ocsf, cim, cef, leef
  # links   = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # every sink: instead of the agent's; {} = none
  min_severity = "informational" # every sink: what is below does not go there, whatever the routes say
  batch { # every sink; a batch ends with the first that is met
    max_events = 500    # of a sink that tells people 20, at most 100
    # max_bytes = "1MB" # as the ledger has them, before compression; default: no bound
    max_wait   = "0s"   # for more, at most 1m; not of sinks that tell people
  }
  when_full = "block" # every sink: block = polling waits, drop_oldest = a counted gap in place of the oldest alerts, overflow = into overflow_dir
}

sink "stdout" "console" {
  format = "json"
}

# The other kinds; sink-<kind>.hcl says more of each.

# sink "kafka" "soc" {
#   brokers           = ["kafka-1.example.com:9093"]
#   topic             = "security.appgov.alerts.v1" # made by appgovd setup kafka, or its owner
#   format            = "ecs"                       # ecs, json, ocsf, cim, cef, leef
#   compression       = "zstd"                      # none, gzip, snappy, lz4, zstd
#   max_message_bytes = 1048576                     # not above the topic's max.message.bytes
#   timeout           = "10s"                       # of one request
#   client_id         = "appgovd"
#   topics            = { health = "platform.appgov.health.v1" } # kinds with a topic of their own
#   create { # by appgovd setup kafka
#     partitions         = 6
#     replication_factor = 3
#     retention          = "30d"
#     settings           = { "min.insync.replicas" = 2 }
#   }
#   tls {
#     ca_file     = "/etc/appgovd/kafka-ca.pem" # default: the system's authorities
#     cert_file   = "/etc/appgovd/client.crt"   # mutual TLS: both or none
#     key_file    = "/etc/appgovd/client.key"
#     server_name = "kafka.example.com" # where the certificate carries another name than the host
#   }
#   sasl {
#     mechanism = "SCRAM-SHA-512" # SCRAM-SHA-256, PLAIN; OAUTHBEARER: see sink-kafka.hcl
#     username  = "appgovd"
#     password  = credential("kafka-password")
#   }
# }

# sink "elasticsearch" "soc" {
#   addresses    = ["https://es-1.example.com:9200"]
#   distribution = "elasticsearch"                     # or opensearch
#   api_key      = credential("elasticsearch-api-key") # or service_token, or username and password
#   namespace    = "default"                           # of the data stream logs-appgov.alerts-<namespace>
#   retention    = "90d"                               # set by appgovd setup elasticsearch
#   timeout      = "30s"                               # of one bulk request
#   gzip         = true
#   proxy        = "none" # default: of the environment
#   tls {
#     ca_file = "/etc/appgovd/elasticsearch-ca.pem" # and cert_file, key_file, server_name as above
#   }
# }

# sink "syslog" "siem" {
#   address           = "siem.example.com:6514"
#   protocol          = "tls"    # tls, tcp, udp
#   format            = "ecs"    # ecs, json, ocsf, cim, cef, leef
#   facility          = "local0" # or audit, authpriv, ...
#   hostname          = "soc-1"  # default: this machine's
#   app_name          = "appgovd"
#   enterprise_number = 32473  # of the structured data's id
#   bom               = false  # a byte order mark before the text
#   max_message_bytes = 8192   # what is larger goes to the dead letter
#   timeout           = "10s"  # without progress
#   resend_window     = 5000   # alerts that go out again after a broken connection and after a restart
#   tls {
#     ca_file = "/etc/appgovd/siem-ca.pem" # and cert_file, key_file, server_name as above
#   }
# }

# sink "splunk_hec" "soc" {
#   url         = "https://splunk.example.com:8088"
#   token       = credential("splunk-token")
#   format      = "cim" # cim, ecs, json, ocsf
#   host        = "soc-1" # default: this machine's
#   source      = "appgovd"
#   sourcetype  = "appgov:alert" # default: by what is sent
#   index       = "security" # default: the token's
#   fields      = { site = "hq" } # indexed, beside our own
#   acknowledge = true # an alert is delivered when it is indexed; Splunk Enterprise only
#   ack_timeout = "5m"
#   timeout     = "30s"
#   gzip        = true
#   proxy       = "none"
#   tls {
#     ca_file = "/etc/appgovd/splunk-ca.pem" # and cert_file, key_file, server_name as above
#   }
# }

# sink "webhook" "soar" {
#   url         = "https://soar.example.com/hooks/appgov"
#   hmac_secret = credential("webhook-key") # whsec_... of Standard Webhooks, or any text
#   headers     = { "Authorization" = credential("webhook-authorization") } # the whole value, "Bearer ..."
#
#   template = <<-EOT
#     {"text": "{severity}: {title}", "app": "{app_name}", "state": "{state}", "score": "{score}", "key": "{alert_id}", "alert": "{alert}"}
#   EOT
#   # format = "json" # instead of template: json, ecs, ocsf, cim
#
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file     = "/etc/appgovd/soar-ca.pem" # default: the system's authorities
#   #   cert_file   = "/etc/appgovd/client.crt"  # mutual TLS: both or none
#   #   key_file    = "/etc/appgovd/client.key"
#   #   server_name = "soar.example.com"         # where the certificate carries another name than the host
#   # }
# }

# sink "pagerduty" "on-call" {
#   routing_key = credential("pagerduty-key") # of an integration "Events API v2"
#   region      = "us"                        # or "eu"
#   # url       = "https://relay.example.com/v2/enqueue" # instead of region
#
#   min_severity = "high" # who is woken by less?
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# sink "slack" "soc" {
#   url = credential("slack-url") # https://hooks.slack.com/services/...
#
#   min_severity = "medium"
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# sink "teams" "soc" {
#   url = credential("teams-url") # https://....logic.azure.com/... or https://....powerplatform.com/...
#
#   min_severity = "medium"
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# sink "jsm_ops" "on-call" {
#   api_key = credential("jsm-key") # of an API integration
#   # url   = "https://api.atlassian.com/jsm/ops/integration/v2/alerts"
#   tags    = ["appgov"] # beside the detection source, the severity and the kind
#
#   min_severity = "high"
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# sink "servicenow" "itsm" {
#   url      = "https://instance.service-now.com"
#   username = "appgovd" # with the role evt_mgmt_integration
#   password = credential("servicenow-password")
#   # bearer_token = credential("servicenow-token") # instead of the two
#   # node   = "Microsoft Entra ID" # the configuration item that events are about; default: the app's name
#
#   min_severity = "medium"
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# sink "alertmanager" "soc" {
#   url    = "https://alertmanager.example.com:9093" # with the path prefix where there is one; /api/v2/alerts is added
#   labels = { team = "soc" }                        # of every alert, for its routes
#   fires  = "24h"                                   # how long a detection fires, which nobody resolves
#
#   bearer_token = credential("alertmanager-token") # or none, or:
#   # username   = "appgovd"
#   # password   = credential("alertmanager-password")
#   # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
#   timeout = "30s" # of one request
#   # proxy = "none" # default: of the environment
#   # tls {
#   #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
#   # }
# }

# Routes are tried in order; the first that matches ends the search unless
# `continue`. An alert that no route matches goes to every sink.
route {
  min_severity = "informational" # informational, low, medium, high, critical
  rules        = ["*"]           # globs over rule ids
  kinds        = ["detection", "policy", "summary", "upstream", "risk", "health"]
  sinks        = ["file/alerts", "stdout/console"]
  continue     = false
  # name       = "siem"                                           # else its place: route[1]
  # where      = alert.severity == "high" && app.tier <= 2        # in the language of rules; docs/reference/fields.md
  # Groups, times, rates, mutes, escalation and routes within a route: configs/routing.hcl.
}

# MaxMind databases, where you have them: networks and countries of public addresses that the provider does not say. A file
# that is replaced (by renaming, as geoipupdate does) is read within a minute; one that breaks is an alarm, events go on.
# Paths are relative to this file.
# geoip {
#   asn_database     = "/usr/share/GeoIP/GeoLite2-ASN.mmdb"
#   country_database = "/usr/share/GeoIP/GeoLite2-Country.mmdb"
# }

rules = ["../rules"]
