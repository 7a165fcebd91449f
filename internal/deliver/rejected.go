package deliver

import "fmt"

// Error says how many items were refused and the first reason, or why items
// are to be sent again.
func (r *Rejected) Error() string {
	if len(r.Items) == 0 && r.After != nil {
		return fmt.Sprintf("write batch: %d items to be sent again: %v", len(r.Retry), r.After)
	}
	if len(r.Items) == 0 {
		return fmt.Sprintf("write batch: %d items to be sent again", len(r.Retry))
	}
	return fmt.Sprintf("write batch: %d items refused, first: %s", len(r.Items), r.Items[0].Reason)
}

// Unwrap returns the reason why items are to be sent again.
func (r *Rejected) Unwrap() error { return r.After }

// cause of what is to be sent again; nil where there is none.
func (r *Rejected) cause() error {
	if r == nil {
		return nil
	}
	return r.After
}
