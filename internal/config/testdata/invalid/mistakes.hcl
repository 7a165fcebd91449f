agent {
  initial_lookback = "soon" # ERROR "soon" is no duration
  max_bytes        = "12 pigs" # ERROR is no size
  log_level        = "inf" # ERROR Did you mean "info"?
  time_zone        = "Mars/Olympus" # ERROR unknown time zone
  time_zones = {
    contso  = "UTC" # ERROR There is no source block named "contso"
    contoso = "Mars/Olympus" # ERROR There is no time zone "Mars/Olympus"
  }
}

source "entra" "contoso" {}
sorce "entra" "x" {} # ERROR Did you mean "source"?

sink "file" "a" {}
sink "file" "a" {} # ERROR is already defined
sink "file" "full" {
  when_full = "drop" # ERROR must be one of block, drop_oldest, overflow
}
sink "file" "loud" {
  min_severity = "hgih" # ERROR Did you mean "high"?
}
sink "file" "batches" {
  batch {
    max_events = 5001 # ERROR must lie between 1 and 5000
    max_bytes  = "1kB" # ERROR at least 4096 bytes
    max_wait   = "2m" # ERROR must lie between 0s and 1m0s
  }
}
sink "file" "more" {
  batch { # ERROR A sink has one batch block; this one has 2
    max_bytes = "1GB" # ERROR at most 67108864 bytes
  }
  batch {}
}
sink "file" "none" {
  batch {
    max_events = 0 # ERROR must lie between 1 and 5000
    max_evnts  = 1 # ERROR named "max_evnts" is not expected here
  }
}
sink "file" "over" { # ERROR name the directory in overflow_dir
  when_full = "overflow"
}
sink "file" "a b" {} # ERROR becomes part of file names

route {
  min_severity = "hihg" # ERROR Did you mean "high"?
  sinks        = ["file/aa"] # ERROR Did you mean "file/a"?
}

rules = ["nowhere/"] # ERROR no such file or directory
