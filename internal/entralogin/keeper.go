package entralogin

import (
	"context"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// Keeper keeps the tokens that somebody gives, by scope, and asks for one at a time. A
// token that lives long is renewed after half of its life, another one five minutes before
// its end, or after three quarters of a life that is short; until it ends it does where no
// new one comes. It is safe for concurrent use.
type Keeper struct {
	give  func(ctx context.Context, scope string) (azcore.AccessToken, error)
	spare time.Duration
	now   func() time.Time
	ask   chan struct{} // holds one: whoever asks

	mu   sync.Mutex
	kept map[string]keptToken // by scope
}

type keptToken struct {
	azcore.AccessToken
	renew time.Time // from when on it is asked for another one
	last  time.Time // from when on it does not go out
	count int       // of tokens so far
}

const (
	longLife   = 2 * time.Hour
	early      = 5 * time.Minute
	renewAgain = time.Minute // between tries of one that is not needed yet
)

// NewKeeper keeps what give gives. A token does not go out in the last moments of its
// life, spare, or an eighth of a life that is short, since its use takes time. Of now nil
// is the machine's clock.
func NewKeeper(give func(ctx context.Context, scope string) (azcore.AccessToken, error), spare time.Duration, now func() time.Time) *Keeper {
	if now == nil {
		now = time.Now
	}
	return &Keeper{give: give, spare: spare, now: now, ask: make(chan struct{}, 1), kept: map[string]keptToken{}}
}

// Get returns a token that is kept, or asks for one; kept tells which.
func (k *Keeper) Get(ctx context.Context, scope string) (t azcore.AccessToken, kept bool, err error) {
	have, good, due := k.have(scope)
	if good && !due {
		return have, true, nil
	}
	select {
	case k.ask <- struct{}{}:
		defer func() { <-k.ask }()
	default:
		if good { // somebody else is renewing it
			return have, true, nil
		}
		select {
		case k.ask <- struct{}{}:
			defer func() { <-k.ask }()
		case <-ctx.Done():
			return azcore.AccessToken{}, false, ctx.Err()
		}
	}
	if have, good, due = k.have(scope); good && !due {
		return have, true, nil
	}
	t, err = k.give(ctx, scope)
	k.mu.Lock()
	defer k.mu.Unlock()
	now, old := k.now(), k.kept[scope]
	if err != nil {
		old.renew = now.Add(renewAgain)
		k.kept[scope] = old
		if good && old.Token == have.Token {
			return have, true, nil
		}
		return t, false, err
	}
	life, count := t.ExpiresOn.Sub(now), old.count
	if t.Token != old.Token { // Azure may give a machine the same one for a day
		count++
	}
	k.kept[scope] = keptToken{t, now.Add(renewal(life)), t.ExpiresOn.Add(-min(k.spare, life/8)), count}
	return t, false, nil
}

// renewal is after how much of its life a token is renewed.
func renewal(life time.Duration) time.Duration {
	if life > longLife {
		return life / 2
	}
	return life - min(early, life/4)
}

// have is the token for a scope, whether it is good, and whether it is due to be renewed.
func (k *Keeper) have(scope string) (t azcore.AccessToken, good, due bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	have, now := k.kept[scope], k.now()
	return have.AccessToken, have.Token != "" && now.Before(have.last), !now.Before(have.renew)
}

// Renewals is how often the token for a scope was replaced. Where the one of now is due, it
// is asked for another one first. What was begun at a smaller number should be begun anew:
// it ends with its token.
func (k *Keeper) Renewals(ctx context.Context, scope string) int {
	if have, _, due := k.have(scope); have.Token != "" && due {
		_, _, _ = k.Get(ctx, scope) // where there is none, whoever needs one is told
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(k.kept[scope].count-1, 0)
}

// Forget drops a token that was refused; one that came after it stays.
func (k *Keeper) Forget(scope, token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old := k.kept[scope]; old.Token == token {
		k.kept[scope] = keptToken{count: old.count}
	}
}

// machineTokens keeps the tokens that a machine of Azure gives: its service answers few
// programs at once, and has minutes in which it answers none. Azure's library keeps such
// tokens too, for all of the process and whatever became of them, so that it is asked past
// that.
// https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
type machineTokens struct{ *Keeper }

const (
	machineSpare = 2 * time.Minute
	pastTheCache = "{}" // claims that say nothing, for which Azure's library asks anew
)

func newMachineTokens(c azcore.TokenCredential, now func() time.Time) machineTokens {
	return machineTokens{NewKeeper(func(ctx context.Context, scope string) (azcore.AccessToken, error) {
		return c.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}, Claims: pastTheCache})
	}, machineSpare, now)}
}

// GetToken returns a token that is kept, or asks the machine for one.
func (m machineTokens) GetToken(ctx context.Context, o policy.TokenRequestOptions) (azcore.AccessToken, error) {
	t, _, err := m.Get(ctx, o.Scopes[0])
	return t, err
}
