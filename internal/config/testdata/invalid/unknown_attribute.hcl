agent {
  stat_dir = "/x" # ERROR Did you mean "state_dir"?
}
