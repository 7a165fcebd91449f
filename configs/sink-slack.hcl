# A message to a channel of Slack for each alert, by an incoming webhook. Its URL is the secret: who has it can post. What is sent
# again after a lost answer is a second message.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "slack" "soc" {
  url = credential("slack-url") # https://hooks.slack.com/services/...

  min_severity = "medium"
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # instead of the agent's; {} = none
  timeout = "30s" # of one request
  # proxy = "none" # default: of the environment
  # tls {
  #   ca_file = "/etc/appgovd/proxy-ca.pem" # of a proxy that looks into TLS; and cert_file, key_file, server_name
  # }
}

rules = ["../rules"]
