# Each alert posted to an URL: one of our documents (docs/formats.md), or a template. Delivered is what was answered with a
# status 2xx within the timeout. docs/sinks.md says what the receiver should do with the headers.
#
# A template is a JSON document with placeholders in its strings. A string that is one placeholder takes the value as it is (a
# number, a list, the whole document), in a longer string it is written out; whatever an alert holds, it stays in its string.
# Nothing of an alert gets into the URL, a header's name or the name of a field.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "webhook" "soar" {
  url         = "https://soar.example.com/hooks/appgov"
  hmac_secret = credential("webhook-key") # whsec_... of Standard Webhooks, or any text
  headers     = { "Authorization" = credential("webhook-authorization") } # the whole value, "Bearer ..."

  template = <<-EOT
    {"text": "{severity}: {title}", "app": "{app_name}", "state": "{state}", "score": "{score}", "key": "{alert_id}", "alert": "{alert}"}
  EOT
  # format = "json" # instead of template: json, ecs, ocsf, cim
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none

  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file     = "/etc/appgovd/soar-ca.pem" # default: the system's authorities
  #   cert_file   = "/etc/appgovd/client.crt"  # mutual TLS: both or none
  #   key_file    = "/etc/appgovd/client.key"
  #   server_name = "soar.example.com"         # where the certificate carries another name than the host
  # }
}

rules = ["../rules"]
