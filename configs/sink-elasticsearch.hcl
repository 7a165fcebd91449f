# Alerts into a data stream of Elasticsearch or OpenSearch, as ECS documents. Before the first alert, once:
#
#   appgovd setup elasticsearch configs/sink-elasticsearch.hcl --username elastic --password-file /etc/appgovd/elastic.password
#
# installs the index template (--print only shows it). The sink itself needs two privileges on logs-appgov.*:
# auto_configure and create_doc. An alert that comes twice is stored once: its _id is the delivery id.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "elasticsearch" "soc" {
  addresses = ["https://es-1.example.com:9200", "https://es-2.example.com:9200"] # nodes of one cluster, 8.12 or later
  api_key   = credential("elasticsearch-api-key")                                # base64 of id:key, as Elasticsearch shows it

  # distribution = "opensearch" # where it is one; then username and password, and see docs/sinks.md

  # Instead of api_key:
  # service_token = credential("elasticsearch-token")
  # username      = "appgov_writer"
  # password      = credential("elasticsearch-password")

  namespace = "default" # the stream is logs-appgov.alerts-<namespace>
  retention = "90d"     # of the stream, set by setup
  timeout   = "30s"     # of one bulk request
  gzip      = true      # compress requests
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
  # proxy   = "none"    # default: of the environment

  tls {
    ca_file = "/etc/appgovd/elasticsearch-ca.pem" # default: the system's authorities
    # cert_file   = "/etc/appgovd/client.crt"     # mutual TLS
    # key_file    = "/etc/appgovd/client.key"
    # server_name = "es.example.com"              # where the certificate carries another name than the host
  }
}

rules = ["../rules"]
