# Alerts in Jira Service Management (Operations): alias is the alert's id, so that an update counts on it and the resolution closes it.
# critical to informational are P1 to P5.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "jsm_ops" "on-call" {
  api_key = credential("jsm-key") # of an API integration
  # url   = "https://api.atlassian.com/jsm/ops/integration/v2/alerts"
  tags    = ["appgov"] # beside the detection source, the severity and the kind

  min_severity = "high"
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
  # }
}

rules = ["../rules"]
