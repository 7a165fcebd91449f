//go:build !crashpoints

package ledger

// crashPoint does nothing: only a binary built with the tag crashpoints can be
// told to die at one.
func crashPoint(string, ...func()) {}
