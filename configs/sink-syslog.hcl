# Alerts as RFC 5424 messages to a syslog receiver: a header, one element of structured data with the ids (appgov@NUMBER:
# alert_id, delivery_id, rule, severity, state, detection_source, ...), and the document as the text.
#
# Syslog acknowledges nothing. Over tcp and tls the last alerts, as many as resend_window says, go out again after a broken
# connection and after a restart, with equal ids: let the SIEM deduplicate by delivery_id. Nothing is lost as long as the
# window is larger than what the receiver holds in memory (its socket's buffer and its queues). udp promises nothing.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "syslog" "siem" {
  address  = "siem.example.com:6514"
  protocol = "tls" # tls (RFC 5425), tcp (RFC 6587, octet counting), udp (RFC 5426)

  tls {
    ca_file   = "/etc/appgovd/siem-ca.pem" # default: the system's authorities
    cert_file = "/etc/appgovd/client.crt"  # mutual TLS: both or none; a renewed one needs no restart
    key_file  = "/etc/appgovd/client.key"
    # server_name = "siem.example.com"     # where the certificate carries another name than the host
  }

  format            = "ecs"    # ecs, json, ocsf, cim, cef, leef
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
  facility          = "local0" # or audit, authpriv, local1, ...
  app_name          = "appgovd"
  # hostname        = "soc-1"  # default: this machine's
  enterprise_number = 32473    # of the structured data's id; 32473 is the one for examples, put your own
  bom               = false    # a byte order mark before the text: RFC 5424 knows it, parsers of JSON do not
  max_message_bytes = 8192     # what is larger, without links too, goes to the dead letter; rsyslog cuts at its maxMessageSize, 8k by default
  timeout           = "10s"    # of connecting, and of a write without progress
  resend_window     = 5000     # alerts; kept in memory, at most 256 MiB
}

rules = ["../rules"]
