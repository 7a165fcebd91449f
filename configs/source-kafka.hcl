# Records of Entra ID out of topics of Kafka: diagnostic-settings records, or plain records as Microsoft Graph gives them. See docs/streams.md.
source "kafka" "entra-logs" {
  tenant_id = "00000000-0000-4000-8000-000000000000" # of the records; those of another tenant go to the quarantine
  brokers   = ["kafka-1.example.com:9093", "kafka-2.example.com:9093"]
  topics    = ["entra.audits.v1", "entra.signins.v1"]

  group             = "appgovd" # of appgovd alone
  start             = "oldest"  # newest: of partitions that were never read
  keep              = "matched" # of calls to APIs; all, rollup
  lateness          = "2h"      # of records, after which the source counts as complete
  max_message_bytes = 16777216  # a larger message goes to the quarantine
  timeout           = "10s"     # of one request
  idle              = "10s"     # after which a read without anything new ends
  client_id         = "appgovd" # in the broker's logs and quotas

  tls {
    ca_file = "/etc/appgovd/kafka-ca.pem" # default: the system's authorities
    # cert_file   = "/etc/appgovd/client.crt" # mutual TLS: both or none; a renewed one needs no restart
    # key_file    = "/etc/appgovd/client.key"
    # server_name = "kafka.example.com"       # where the certificates carry another name than the hosts
  }

  sasl {
    mechanism = "SCRAM-SHA-512" # SCRAM-SHA-256; PLAIN and OAUTHBEARER with TLS only
    username  = "appgovd"
    password  = credential("kafka-password")
  }
}

sink "stdout" "alerts" {}

rules = ["../rules"]
