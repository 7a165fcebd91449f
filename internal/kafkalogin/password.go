package kafkalogin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/appgovd/appgovd/internal/fault"
)

// password is PLAIN or SCRAM with the password of the moment.
type password struct {
	mechanism, username string
	password            func() (string, error)
	target              Target
}

// Name is the mechanism as Kafka calls it.
func (p *password) Name() string { return p.mechanism }

// Start begins one log-in.
func (p *password) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	m, err := p.build()
	if err != nil {
		return nil, nil, err
	}
	return m.Start(ctx)
}

func (p *password) build() (sasl.Mechanism, error) {
	text, err := p.password()
	if err != nil {
		return nil, fault.NewAuth(err)
	}
	if p.username == connectionUser {
		if err := checkConnection(text, p.target); err != nil {
			return nil, err
		}
	}
	return newMechanism(p.mechanism, p.username, text)
}

// checkConnection finds what is wrong with a connection string without showing it.
func checkConnection(s string, t Target) error {
	parts := map[string]string{}
	for _, p := range strings.Split(strings.TrimSpace(s), ";") {
		name, value, _ := strings.Cut(p, "=")
		parts[strings.ToLower(name)] = value
	}
	hub := parts["entitypath"]
	switch {
	case !strings.HasPrefix(parts["endpoint"], "sb://"), parts["sharedaccesskey"] == "" && parts["sharedaccesssignature"] == "":
		return fault.WithHint(fault.NewAuth(errors.New("the password is no connection string of Event Hubs")),
			"copy \"Connection string-primary key\" of a shared access policy with the claim "+t.claim()+": Endpoint=sb://NAMESPACE.servicebus.windows.net/;SharedAccessKeyName=...;SharedAccessKey=...")
	case hub != "" && slices.ContainsFunc(t.Topics, func(topic string) bool { return !strings.EqualFold(topic, hub) }):
		return fault.WithHint(fault.NewAuth(fmt.Errorf("the connection string is for the Event Hub %q alone, the configuration names %s", hub, strings.Join(t.Topics, ", "))),
			"write that name as the topic, or take the connection string of a policy of the whole namespace, which has no EntityPath")
	}
	return nil
}
