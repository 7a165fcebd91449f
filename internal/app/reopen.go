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

// Refused says that a new configuration was not taken over, and why; nil, that
// the one in force is the one that was asked for. `systemctl reload` succeeds in
// either case, so that an alarm has to tell.
func (a *Agent) Refused(err error) {
	const key = "configuration"
	if err == nil {
		a.health.Resolve(key, "the configuration is in force")
		return
	}
	a.log.Error("the new configuration is refused; the old one goes on", zap.Error(err), zap.String("hint", fault.Hint(err)))
	a.health.Raise(key, event.SeverityMedium, "A new configuration is refused", joinAdvice("the old one goes on: "+err.Error(), fault.Hint(err)))
}
