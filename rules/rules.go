// Package rules owns the detections that come with appgovd: rules, policies,
// lists and permission tiers, as files.
package rules

import "embed"

// Files is the shipped pack, for use where no rules are configured. Tests of
// the rules are part of it; rule.ReadFS leaves them out.
//
//go:embed data entra
var Files embed.FS
