package kafkalogin

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/segmentio/kafka-go/sasl"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/outbound"
)

// bearer is OAUTHBEARER (RFC 7628) with a token of Microsoft Entra ID or of another
// server, which is kept until it is about to expire. It is safe for concurrent use.
type bearer struct {
	tokens *entralogin.Keeper
	scope  string
	target Target
	issuer string // the attributes that name who gives the tokens
}

// lastUse of a token that is kept is before its end.
const lastUse = 30 * time.Second

func newBearer(s SASL, t Target, o Options) (*bearer, error) {
	issuer, give, err := "tenant_id", giver(nil), error(nil)
	if s.TokenURL == "" {
		give, err = newEntra(s, t, o)
	} else {
		issuer = "token_url"
		give, err = newServer(s, o)
	}
	scope := s.Scope
	if scope == "" {
		host, _, _ := strings.Cut(t.Brokers[0], ":")
		scope = "https://" + host + "/.default"
	}
	return &bearer{tokens: entralogin.NewKeeper(give, lastUse, o.Now), scope: scope, target: t, issuer: issuer}, err
}

// Name is the mechanism as Kafka calls it.
func (b *bearer) Name() string { return Bearer }

// Start asks for a token, unless there is one.
func (b *bearer) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	t, kept, err := b.tokens.Get(ctx, b.scope)
	if err != nil {
		return nil, nil, err
	}
	return &bearing{b: b, token: t.Token, kept: kept}, []byte("n,,\x01auth=Bearer " + t.Token + "\x01\x01"), nil
}

// bearing is one log-in.
type bearing struct {
	b     *bearer
	token string
	kept  bool // it was not made for this log-in
}

// Next takes the server's answer: nothing, or why it refused. A token that was kept may
// have expired by the broker's clock: the next log-in has a new one, and only where that
// is refused, too, a human is to help.
func (s *bearing) Next(_ context.Context, challenge []byte) (bool, []byte, error) {
	if len(challenge) == 0 {
		return true, nil, nil
	}
	s.b.tokens.Forget(s.b.scope, s.token)
	var why struct{ Status string }
	if json.Unmarshal(challenge, &why) != nil || why.Status == "" {
		why.Status = "refused"
	}
	err := fmt.Errorf("the broker does not take the token: %s", outbound.Clean(string(outbound.Redact([]byte(why.Status), s.token)), 200))
	if s.kept {
		return false, nil, fault.WithHint(err, "the next attempt asks for a new token")
	}
	return false, nil, fault.WithHint(fault.NewAuth(err), s.b.advice())
}

func (b *bearer) advice() string {
	if b.target.IsHubs() {
		return "give the app the role " + b.target.role() + " on the namespace or the hub, and check scope: https://NAMESPACE.servicebus.windows.net/.default"
	}
	return "check that the broker trusts who issues the token (" + b.issuer + "), and expects its audience and scope; and the clocks of both"
}
