# Azure diagnostic settings of Entra ID by an Event Hub (standard tier or above: the basic one has no Kafka endpoint): see docs/streams.md.
# The inventory comes by Microsoft Graph; of the logs that the hub carries, none may also be in `collect`.
source "entra" "contoso" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  client_id     = "00000000-0000-4000-8000-000000000000"
  client_secret = credential("entra-secret")
  collect       = ["applications", "service_principals", "delegated_grants", "app_role_assignments", "alerts"]
}

# The calls of apps to Microsoft Graph, the most of all logs.
source "kafka" "calls" {
  tenant_id  = "00000000-0000-4000-8000-000000000000"
  brokers    = ["contoso-logs.servicebus.windows.net:9093"] # the namespace; port 9093
  topics     = ["insights-logs-microsoftgraphactivitylogs"] # the name of the Event Hub
  group      = "appgovd-calls"                              # of this source alone
  categories = ["MicrosoftGraphActivityLogs"]
  keep       = "matched" # all, rollup: sum up every call

  tls {}
  sasl {
    mechanism = "PLAIN"
    username  = "$ConnectionString" # as it stands
    password  = credential("eventhubs") # the connection string of a policy with the claim Listen
  }
}

# Audits and sign-ins, with a token of Entra ID instead of a key: the app, or the managed identity, has the role Azure Event Hubs Data Receiver.
source "kafka" "logs" {
  tenant_id  = "00000000-0000-4000-8000-000000000000"
  brokers    = ["contoso-logs.servicebus.windows.net:9093"]
  topics     = ["entra-logs"]
  group      = "appgovd-logs"
  categories = ["AuditLogs", "SignInLogs", "ServicePrincipalSignInLogs", "MicrosoftServicePrincipalSignInLogs", "ManagedIdentitySignInLogs", "ServicePrincipalRiskEvents"]

  tls {}
  sasl {
    mechanism = "OAUTHBEARER"
    tenant_id = "00000000-0000-4000-8000-000000000000"
    client_id = "00000000-0000-4000-8000-000000000000"
    client_certificate { # or client_secret, or workload_identity { token_file = "…" }, as source "entra" has them
      file = "/etc/appgovd/entra.pem"
    }
    # On a machine of Azure, in place of tenant_id, client_id and the certificate:
    # managed_identity {
    #   system_assigned = true # the machine's own; without it client_id is that of an identity that was assigned to the machine
    # }
    # scope = "https://contoso-logs.servicebus.windows.net/.default" # the default: of the first broker
  }
}

sink "stdout" "alerts" {}

rules = ["../rules"]
