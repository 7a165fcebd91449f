agent {
  initial_lookback = "soon" # ERROR "soon" is no duration
  max_bytes        = "12 pigs" # ERROR is no size
  log_level        = "inf" # ERROR Did you mean "info"?
  time_zone        = "Mars/Olympus" # ERROR unknown time zone
}

sorce "entra" "x" {} # ERROR Did you mean "source"?

sink "file" "a" {}
sink "file" "a" {} # ERROR is already defined
sink "file" "full" {
  when_full = "drop" # ERROR must be one of block, drop_oldest, overflow
}
sink "file" "loud" {
  min_severity = "hgih" # ERROR Did you mean "high"?
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
