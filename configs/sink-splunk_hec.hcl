# Alerts into Splunk over its HTTP Event Collector: the fields of the data model Alerts at the top of each event
# (docs/formats.md), and alert_id, delivery_id, rule_id, severity, state and detection_source indexed, for tstats.
#
# Make a token for the event endpoint that may write to the index. An event that Splunk names as
# invalid goes to the dead letter, the others of its batch are delivered (those before it go out twice: it is not documented
# whether Splunk keeps them); a wrong token, index or channel pauses the sink.
#
# Without acknowledge, "taken" is what Splunk answers before it has indexed anything: a crash of the indexer loses what it held.
# With it, a batch is delivered when it is indexed. That takes seconds a batch, needs a token with indexer acknowledgement, and
# behind a load balancer one that is sticky (its cookie is kept). What is not acknowledged within ack_timeout goes out again:
# an alert may be in Splunk twice, with one delivery_id.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "splunk_hec" "soc" {
  url   = "https://splunk.example.com:8088" # an indexer, a heavy forwarder, or the load balancer before them
  token = credential("splunk-token")

  format = "cim" # of the event: cim, ecs, json, ocsf
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
  source = "appgovd"
  # sourcetype = "appgov:alert" # default: by what is sent, appgov:alert, audit, app, grant or activity (docs/sinks.md)
  # host       = "soc-1"        # default: this machine's
  # index      = "security"     # default: the token's
  # fields     = { site = "hq" } # indexed with every event

  acknowledge = false # Splunk Enterprise only
  # ack_timeout = "5m"

  timeout = "30s" # of one request
  gzip    = true  # compress requests
  # proxy = "none" # default: of the environment

  tls {
    ca_file = "/etc/appgovd/splunk-ca.pem" # default: the system's authorities
    # cert_file   = "/etc/appgovd/client.crt"  # mutual TLS: both or none
    # key_file    = "/etc/appgovd/client.key"
    # server_name = "splunk.example.com"       # where the certificate carries another name than the host
  }
}

rules = ["../rules"]
