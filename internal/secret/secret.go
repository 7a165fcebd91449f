// Package secret owns secrets: a type that cannot be printed, references to
// where a secret lives (environment, file, systemd credential), and watching
// files so that a rotation needs no restart.
package secret

// Ref names where a secret lives, as written in configuration by the functions
// env("X"), file("/path") and credential("name"), which produce values that no
// literal can equal. Any other text is a literal secret: it works, with a
// warning.
type Ref string
