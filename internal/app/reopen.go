package app

import (
	"go.uber.org/zap"

	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

// Reopen opens anew what sinks keep open by name, after logrotate moved it
// away. It asks nothing of the configuration, so that a reload that is refused
// still lets go of the old files.
func (a *Agent) Reopen() {
	for i, s := range a.sinks {
		r, ok := s.(interface{ Reopen() error })
		if !ok {
			continue
		}
		name := a.plan.sinks[i].block.Key()
		key := "reopen/" + name
		if err := r.Reopen(); err != nil {
			a.log.Error("sink keeps its old file", zap.String("sink", name), zap.Error(err), zap.String("hint", fault.Hint(err)))
			a.health.Raise(key, event.SeverityMedium, "A sink could not open its file anew", name+": "+err.Error())
		} else {
			a.health.Resolve(key, "the file is open")
		}
	}
}
