# What make demo runs: a simulated tenant (bin/appgov-sim) at 127.0.0.1:18443, the rules of this repository, and alerts
# as JSON lines on the screen. Paths are relative to the root of the repository.

agent {
  state_dir        = ".cache/demo/state"
  initial_lookback = "6h"
  tick             = "1s"
  log_format       = "console"
}

source "entra" "demo" {
  tenant_id     = "c15c0289-ec2d-4a91-a7ec-8e65a18debbe"
  client_id     = "5e5532fb-eea2-43f8-8bc9-42ee9086c171"
  client_secret = env("APPGOV_SIM_SECRET")
  graph_url     = "https://127.0.0.1:18443"
  login_url     = "https://127.0.0.1:18443"
  ca_file       = ".cache/demo/ca.pem"
  poll_interval = "10s"
  sync_interval = "30s"
  lateness      = "5s"
}

sink "stdout" "screen" {}

rules = ["../rules"]
