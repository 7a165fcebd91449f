# Events for ServiceNow's Event Management: message_key is the alert's id, so that updates and the resolution are about one alert of
# ServiceNow's. critical to informational are the severities 1 to 5, a resolution is 0 (clear).
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "servicenow" "itsm" {
  url      = "https://instance.service-now.com"
  username = "appgovd" # with the role evt_mgmt_integration
  password = credential("servicenow-password")
  # bearer_token = credential("servicenow-token") # instead of the two
  # node   = "Microsoft Entra ID" # the configuration item that events are about; default: the app's name

  min_severity = "medium"
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
  # }
}

rules = ["../rules"]
