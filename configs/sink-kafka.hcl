# Alerts into a Kafka topic: one record per alert, acknowledged by all in-sync replicas, in the order of its app (the key is
# tenant/app id). Delivery is at least once: a record that comes twice carries the same id in its header ce_id and in its body.
# Topics are made once, by their owner or by
#   appgovd setup kafka configs/sink-kafka.hcl --username admin --password-file /etc/appgovd/kafka-admin.password
# and never at run time. The sink's own user needs Write and Describe on them.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
}

sink "kafka" "soc" {
  brokers = ["kafka-1.example.com:9093", "kafka-2.example.com:9093"]
  topic   = "security.appgov.alerts.v1"
  topics = { # kinds with a topic of their own: detection, policy, summary, upstream, risk, health
    health = "platform.appgov.health.v1"
  }

  create { # how setup makes them; what is left away is the cluster's default
    partitions         = 6
    replication_factor = 3
    retention          = "30d"
    settings           = { "min.insync.replicas" = 2 } # by Kafka's names
  }

  tls {
    ca_file = "/etc/appgovd/kafka-ca.pem"   # default: the system's authorities
    # cert_file   = "/etc/appgovd/client.crt" # mutual TLS: both or none; a renewed one needs no restart
    # key_file    = "/etc/appgovd/client.key"
    # server_name = "kafka.example.com"       # where the certificates carry another name than the hosts
  }

  sasl {
    mechanism = "SCRAM-SHA-512" # SCRAM-SHA-256, PLAIN (with TLS only), OAUTHBEARER: below
    username  = "appgovd"
    password  = credential("kafka-password")
  }

  format            = "ecs"     # ecs, json, ocsf, cim, cef, leef
  # links = { "App" = "https://portal.example.com/{tenant}/{app_id}" } # in documents of alerts, instead of the agent's; {} = none
  compression       = "zstd"    # none, gzip, snappy, lz4, zstd; Event Hubs: none (their default), gzip
  max_message_bytes = 1048576   # of one record and one request; not above the topic's max.message.bytes; Event Hubs: 1000000
  timeout           = "10s"     # of one request
  client_id         = "appgovd" # in the broker's logs and quotas
}

# Events in place of alerts, those of some classes into a topic of their own: audit, signin, inventory, alert, risk, activity, call.
sink "kafka" "events" {
  forward = "events"
  where   = class != "call"
  brokers = ["kafka-1.example.com:9093"]
  topic   = "security.appgov.events.v1"
  topics  = { signin = "security.appgov.signins.v1" }
  tls {}
}

# Alerts into an Event Hub, with a token of Entra ID: the machine's own identity has the role Azure Event Hubs Data Sender.
sink "kafka" "hub" {
  brokers = ["contoso-alerts.servicebus.windows.net:9093"] # the namespace; port 9093
  topic   = "appgov-alerts"                                # the name of the Event Hub

  tls {}
  sasl {
    mechanism = "OAUTHBEARER"
    managed_identity {
      system_assigned = true # or client_id, that of an identity that was assigned to the machine
    }
    # Elsewhere tenant_id and client_id of an app registration, with one of client_secret, client_certificate, workload_identity:
    # tenant_id     = "00000000-0000-4000-8000-000000000000"
    # client_id     = "00000000-0000-4000-8000-000000000000"
    # client_secret = credential("entra-secret")
    # scope         = "https://contoso-alerts.servicebus.windows.net/.default" # the default: of the first broker
  }
}

# Alerts into a cluster that takes tokens of another server.
sink "kafka" "partner" {
  brokers = ["kafka.example.org:9093"]
  topic   = "appgov-alerts"
  tls {}
  sasl {
    mechanism     = "OAUTHBEARER"
    client_id     = "appgovd"
    client_secret = credential("kafka-client")
    token_url     = "https://login.example.org/oauth2/token"
    scope         = "kafka" # what the server wants; by default https://HOST/.default of the first broker
    # ca_file     = "/etc/appgovd/login-ca.pem" # authorities of token_url, or of login_url
  }
}

rules = ["../rules"]
