package msgraph

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// machineTokens keeps the tokens that a machine of Azure gives, and asks it for one at a
// time: its service answers few programs at once, and has minutes in which it answers
// none. A token that lives long is renewed after half of its life, another one five
// minutes before its end; until then the one that is there does where no new one comes.
// Azure's library keeps such tokens too, for all of the process and whatever became of
// them, so that it is asked past that. It is safe for concurrent use.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
type machineTokens struct {
	azcore.TokenCredential
	now func() time.Time
	ask chan struct{} // holds one: whoever asks

	mu   sync.Mutex
	kept map[string]machineToken // by resource
}

type machineToken struct {
	azcore.AccessToken
	renew time.Time // from when on it is asked for another one
}

const (
	longLife     = 2 * time.Hour
	renewBefore  = 5 * time.Minute
	renewAgain   = time.Minute     // between tries of one that is not needed yet
	lastUse      = 2 * time.Minute // before its end: a request takes time
	pastTheCache = "{}"            // claims that say nothing, for which Azure's library asks anew
)

func newMachineTokens(c azcore.TokenCredential, now func() time.Time) *machineTokens {
	return &machineTokens{TokenCredential: c, now: now, ask: make(chan struct{}, 1), kept: map[string]machineToken{}}
}

// GetToken returns a token that is kept, or asks the machine for one.
func (m *machineTokens) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	have, good, due := m.have(o.Scopes[0])
	if good && !due {
		return have, nil
	}
	select {
	case m.ask <- struct{}{}:
		defer func() { <-m.ask }()
	default:
		if good { // somebody else is renewing it
			return have, nil
		}
		select {
		case m.ask <- struct{}{}:
			defer func() { <-m.ask }()
		case <-ctx.Done():
			return azcore.AccessToken{}, ctx.Err()
		}
	}
	if have, good, due = m.have(o.Scopes[0]); good && !due {
		return have, nil
	}
	o.Claims = pastTheCache
	t, err := m.TokenCredential.GetToken(ctx, o)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err == nil:
		m.kept[o.Scopes[0]] = machineToken{t, m.renewal(t)}
	case good:
		m.kept[o.Scopes[0]] = machineToken{have, m.now().Add(renewAgain)}
		return have, nil
	}
	return t, err
}

// have is the token for a resource, whether it is good, and whether it is due to be
// renewed.
func (m *machineTokens) have(resource string) (t azcore.AccessToken, good, due bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, now := m.kept[resource], m.now()
	return k.AccessToken, now.Before(k.ExpiresOn.Add(-lastUse)), !now.Before(k.renew)
}

func (m *machineTokens) renewal(t azcore.AccessToken) time.Time {
	if life := t.ExpiresOn.Sub(m.now()); life > longLife {
		return m.now().Add(life / 2)
	}
	return t.ExpiresOn.Add(-renewBefore)
}
