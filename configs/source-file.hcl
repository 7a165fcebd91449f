# Records of Entra ID out of files: lines of JSON as they are appended, whole exports once they are there, plain or gzip. See docs/streams.md.
source "file" "exports" {
  tenant_id     = "00000000-0000-4000-8000-000000000000"
  paths         = ["/var/log/entra/*.json", "/var/log/entra/*.json.gz"]
  categories    = ["AuditLogs", "SignInLogs"] # default: all that are known but RiskyServicePrincipals
  keep          = "matched" # of calls to APIs; all, rollup
  once          = false     # true: read the files as they are, and do not wait for more
  poll_interval = "2s"      # between two looks
  lateness      = "2h"      # of records, after which the source counts as complete
}

sink "stdout" "alerts" {}

rules = ["../rules"]
