package app

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/appgovd/appgovd/internal/config"
	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/diag"
)

// fewAlerts are a batch of a sink with a request for each, mostAlerts what it may be made:
// a batch is acknowledged as a whole, so that no more of them than these go out twice when
// the process dies.
const (
	fewAlerts  = 20
	mostAlerts = 100
)

// batchOf is how a sink's alerts are written together.
func batchOf(b config.Block) (out deliver.Batch) {
	if !slices.Contains(machines(), b.Kind) {
		out.Events = fewAlerts
	}
	if c := b.Batch; c != nil {
		out.Bytes, out.Wait = int(c.Bytes), c.Wait
		if c.Events > 0 {
			out.Events = c.Events
		}
	}
	return out
}

// checkBatch finds what a sink that tells people cannot have.
func checkBatch(b config.Block) (diags hcl.Diagnostics) {
	if b.Batch == nil || slices.Contains(machines(), b.Kind) {
		return nil
	}
	fail := func(attr, detail string) {
		rng := config.AttributeRange(b.Batch.Body, attr, b.Batch.Range)
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid " + attr, Subject: &rng, Extra: diag.Code("invalid_value"), Detail: detail})
	}
	if b.Batch.Events > mostAlerts {
		fail("max_events", fmt.Sprintf("A sink %s takes at most %d: they are acknowledged together, and so many go out twice when the process dies.", b.Kind, mostAlerts))
	}
	if b.Batch.Wait > 0 {
		fail("max_wait", fmt.Sprintf("A sink %s tells people, or their tools: nothing waits for others there. To tell of several alerts at once, give a route group_by and group_wait.", b.Kind))
	}
	return diags
}
