agent {
  state_dir        = "/var/lib/appgovd"
  initial_lookback = "7d"
  max_bytes        = "1GiB"
  overflow_dir     = "/srv/appgovd"
  reader_grace     = "2d"
  dead_letter_history = "30d"
  compression      = "none"
  log_level        = "debug"
  time_zone        = "Europe/Berlin"
  time_zones       = { contoso = "America/New_York" }
}

source "entra" "contoso" {
  tenant_id     = "x"
  client_secret = env("SECRET")
}

sink "kafka" "soc" {
  brokers      = ["localhost:9092"]
  when_full    = "overflow"
  min_severity = "medium"
  batch {
    max_events = 2000
    max_bytes  = "1MB"
    max_wait   = "250ms"
  }
}

sink "file" "copy" {
  path = "/tmp/alerts.jsonl"
}

route {
  min_severity = "high"
  rules        = ["entra.*"]
  sinks        = ["kafka/soc"]
  continue     = true
}

rules = ["."]
