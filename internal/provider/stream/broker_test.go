package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/appgovd/appgovd/internal/entralogin"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
	"github.com/appgovd/appgovd/internal/kafkalogin"
	"github.com/appgovd/appgovd/internal/outbound"
	"github.com/appgovd/appgovd/internal/servicetest"
)

// writer puts numbered records into a topic, some of them late, at one time, twice, out
// of order, or not to be decoded, and knows which were acknowledged.
type writer struct {
	brokers []string
	w       *kafka.Writer
	rng     *rand.Rand

	mu   sync.Mutex
	good map[string]bool // ids that a source must have read
	may  map[string]bool // whose write was not acknowledged: they may be there
	bad  int             // messages that cannot be decoded, acknowledged
}

func newWriter(t *testing.T, brokers []string) *writer {
	w := &kafka.Writer{Addr: kafka.TCP(brokers...), Topic: testTopic, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond, MaxAttempts: 1, Balancer: &kafka.RoundRobin{},
		ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second}
	t.Cleanup(func() { _ = w.Close() })
	return &writer{brokers: brokers, w: w, rng: rand.New(rand.NewPCG(1, 2)), good: map[string]bool{}, may: map[string]bool{}}
}

// write sends messages of three records from number from on, until to.
func (x *writer) write(ctx context.Context, from, to int) {
	for n := from; n < to; n += 3 {
		var rs []string
		var ids []string
		for i := n; i < min(n+3, to); i++ {
			at := epoch().Add(time.Duration(i) * time.Millisecond)
			switch x.rng.IntN(5) {
			case 0:
				at = epoch() // of one time with others
			case 1:
				at = at.Add(-26 * time.Hour) // late
			}
			id := strconv.Itoa(i)
			rs, ids = append(rs, record(id, at)), append(ids, id)
			if x.rng.IntN(10) == 0 {
				rs = append(rs, record(id, at)) // twice
			}
		}
		x.rng.Shuffle(len(rs), func(i, j int) { rs[i], rs[j] = rs[j], rs[i] })
		x.send(ctx, envelope(rs...), ids, len(rs))
		if x.rng.IntN(20) == 0 {
			x.send(ctx, fmt.Sprintf("broken %d", n), nil, 1)
		}
	}
}

func (x *writer) send(ctx context.Context, m string, ids []string, records int) {
	err := x.w.WriteMessages(ctx, kafka.Message{Value: []byte(m)})
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, id := range ids {
		if err == nil {
			x.good[id] = true
		} else {
			x.may[id] = true
		}
	}
	if err == nil && ids == nil {
		x.bad++
	}
}

// member is a daemon as far as a source is concerned: it keeps cursor and records of
// each page at once, as one frame does, and goes on from there after a restart.
type member struct {
	t     *testing.T
	cfg   KafkaConfig
	with  []func(*Options)
	stop  context.CancelFunc
	ended chan struct{}

	mu      sync.Mutex
	cursor  []byte
	got     map[string]int
	bad     map[string]bool
	fetched int
	kept    int
	gaps    []event.Gap
	quiet   atomic.Int32 // reads without anything new, one after the other
}

func newMember(t *testing.T, cfg KafkaConfig, with ...func(*Options)) *member {
	return &member{t: t, cfg: cfg, with: with, got: map[string]int{}, bad: map[string]bool{}}
}

// start begins to read from the kept cursor.
func (m *member) start() {
	ctx, cancel := context.WithCancel(m.t.Context())
	m.stop, m.ended = cancel, make(chan struct{})
	m.quiet.Store(0)
	k := newKafka(m.t, m.cfg, m.with...)
	go func() {
		defer close(m.ended)
		defer k.Close()
		m.run(ctx, k)
	}()
}

// end ends it, as a restart does: what was not kept is read again.
func (m *member) end() {
	m.stop()
	<-m.ended
}

func (m *member) run(ctx context.Context, k *Kafka) {
	for ctx.Err() == nil {
		p, err := k.Read(ctx, m.cursor)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
			continue
		}
		m.keep(p)
	}
}

func (m *member) keep(p event.Page) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cursor = p.Cursor
	m.fetched += p.Fetched
	m.kept += len(p.Events) + len(p.Quarantined)
	for _, e := range p.Events {
		m.got[e.UpstreamID]++
	}
	for _, q := range p.Quarantined {
		m.bad[string(q.Raw)] = true
	}
	m.gaps = append(m.gaps, p.Gaps...)
	if p.Fetched == 0 {
		m.quiet.Add(1)
	} else {
		m.quiet.Store(0)
	}
}

func (m *member) has() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got)
}

// await waits for a condition, at most two minutes.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * time.Minute)
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within two minutes", what)
		}
	}
}

// TestLogins: a real broker lets every mechanism in, and says what is wrong with a
// token and with a password.
func TestLogins(t *testing.T) {
	broker := servicetest.Kafka(t)
	broker.CreateTopic(t, testTopic, 1)
	produce(t, []string{broker.Plain}, testTopic, 0, record("1", epoch()))
	tokens := servicetest.Tokens(t)
	over := func(c *KafkaConfig, s *kafkalogin.SASL) {
		c.Brokers, c.TLS, c.SASL = []string{broker.TLS}, &kafkalogin.TLS{CAFile: broker.CAFile}, s
	}
	bearer := &kafkalogin.SASL{Mechanism: "OAUTHBEARER", ClientID: tokens.ClientID, ClientSecret: "x", TokenURL: tokens.URL}
	entra := &kafkalogin.SASL{Mechanism: "OAUTHBEARER", TenantID: tokens.TenantID, ClientID: tokens.ClientID, LoginURL: tokens.LoginURL, CAFile: tokens.CAFile,
		ClientCertificates: []entralogin.Certificate{{File: filepath.Join(t.TempDir(), "client.pem")}}}
	tokens.Trust(t, servicetest.SelfSigned(t, entra.ClientCertificates[0].File))
	for _, name := range []string{"IDENTITY_ENDPOINT", "IDENTITY_HEADER", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
	}
	machine := servicetest.Machine(t, "")
	machine.Token = func(_ int, life time.Duration) string { return servicetest.UnsignedToken(life) }
	own := &kafkalogin.SASL{Mechanism: "OAUTHBEARER", ManagedIdentity: &entralogin.ManagedIdentity{SystemAssigned: true}}
	for name, x := range map[string]struct {
		change   func(*KafkaConfig)
		password string
		dial     outbound.Dial // to what gives tokens; nil = over the network
		life     time.Duration // of the token
		text     string        // of the error; "" = none
		advice   string
	}{
		"PLAIN": {change: func(c *KafkaConfig) {
			over(c, &kafkalogin.SASL{Mechanism: "PLAIN", Username: broker.User, Password: "x"})
		}, password: broker.Password},
		"SCRAM-SHA-512": {change: func(c *KafkaConfig) {
			over(c, &kafkalogin.SASL{Mechanism: "SCRAM-SHA-512", Username: broker.User, Password: "x"})
		}, password: broker.Password},
		"OAUTHBEARER": {change: func(c *KafkaConfig) { over(c, bearer) }, password: tokens.ClientSecret, life: time.Hour},
		"OAUTHBEARER with a certificate at Entra":   {change: func(c *KafkaConfig) { over(c, entra) }, life: time.Hour},
		"OAUTHBEARER as the machine's own identity": {change: func(c *KafkaConfig) { over(c, own) }, dial: machine.Dial},
		"mutual TLS": {change: func(c *KafkaConfig) {
			c.Brokers, c.TLS = []string{broker.MutualTLS}, &kafkalogin.TLS{CAFile: broker.CAFile, CertFile: broker.ClientCert, KeyFile: broker.ClientKey}
		}},
		"a wrong password": {change: func(c *KafkaConfig) {
			over(c, &kafkalogin.SASL{Mechanism: "PLAIN", Username: broker.User, Password: "x"})
		}, password: "wrong", text: "SASL Authentication Failed", advice: "check user, password and mechanism"},
		"a token that has expired":     {change: func(c *KafkaConfig) { over(c, bearer) }, password: tokens.ClientSecret, life: -time.Hour, text: "does not take the token: invalid_token", advice: "check that the broker trusts"},
		"a wrong client secret":        {change: func(c *KafkaConfig) { over(c, bearer) }, password: "wrong", text: "invalid_client: AADSTS7000215", advice: "check client_id, client_secret"},
		"an authority that is unknown": {change: func(c *KafkaConfig) { over(c, bearer); c.TLS = &kafkalogin.TLS{} }, password: tokens.ClientSecret, text: "certificate signed by unknown authority", advice: "ca_file"},
		"a topic that there is not":    {change: func(c *KafkaConfig) { c.Brokers, c.Topics = []string{broker.Plain}, []string{"none"} }, text: "look for topic none", advice: "the topic does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(nil)
			cfg.Group = "logins " + name
			x.change(&cfg)
			tokens.SetLife(x.life, time.Hour)
			k := newKafka(t, cfg, func(o *Options) {
				o.Secret = literal(x.password)
				if x.dial != nil {
					o.Dial = (&toBroker{address: broker.TLS, others: x.dial}).dial
				}
			})
			if x.text == "" {
				await(t, "the broker lets it in", func() bool {
					_, err := k.Read(t.Context(), nil)
					if err != nil && fault.Of(err) != fault.Transient { // the group's coordinator may not be there yet
						t.Fatal(err)
					}
					return err == nil
				})
				if ids, _, _ := drain(t, k, nil); strings.Join(ids, ",") != "1" {
					t.Errorf("read %v", ids)
				}
				return
			}
			_, err := k.Read(t.Context(), nil)
			assertTrouble(t, err, fault.Auth, x.text, x.advice)
		})
	}
	for name, x := range map[string]struct {
		sasl       *kafkalogin.SASL
		life, said time.Duration
		renewals   int
		closes     bool // the broker closes connections
	}{
		"tokens that expire on the way": {bearer, 8 * time.Second, time.Hour, 3, true},
		// Eight of them take longer than one lives: what is not made anew in time is closed.
		"tokens that are renewed in time": {entra, 20 * time.Second, 4 * time.Second, 8, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig(nil)
			cfg.Group, cfg.Topics = name, []string{strings.ReplaceAll(name, " ", "-")}
			over(&cfg, x.sasl)
			broker.CreateTopic(t, cfg.Topics[0], 4)
			tokens.SetLife(x.life, x.said)
			if closed := readAcrossRenewals(t, cfg, broker, tokens, x.renewals); (closed > 0) != x.closes {
				t.Errorf("the broker closed %d connections", closed)
			}
		})
	}
}

// readAcrossRenewals reads a stream while tokens are replaced by others, and tells how many
// connections, of the group and of the partitions, the broker ended. Each record is read
// all the same, and nothing else.
func readAcrossRenewals(t *testing.T, cfg KafkaConfig, broker *servicetest.KafkaServer, tokens *servicetest.TokenServer, renewals int) (closed int) {
	w := newWriter(t, []string{broker.Plain})
	w.w.Topic = cfg.Topics[0]
	to := &toBroker{address: broker.TLS, others: (&net.Dialer{}).DialContext}
	a := newMember(t, cfg, func(o *Options) { o.Secret, o.Dial = literal(tokens.ClientSecret), to.dial })
	first, n := tokens.Given(), 0
	a.start()
	more := func(records int) {
		w.write(t.Context(), n, n+records)
		n += records
	}
	for renewed := range renewals {
		had := a.has()
		more(500)
		await(t, "it reads", func() bool { return a.has() > had })
		await(t, "another token is asked for, while records go on", func() bool {
			more(3)
			return tokens.Given() > first+1+renewed
		})
	}
	more(500)
	await(t, "everything is read", func() bool { return len(w.missing(a)) == 0 && a.quiet.Load() > 1 })
	a.end()
	w.assert(t, a)
	t.Logf("%d tokens, %d connections, %d of them ended by the broker", tokens.Given()-first, to.opened.Load(), to.closed.Load())
	return int(to.closed.Load())
}

// toBroker dials, and counts the connections to the broker and those that the broker ended.
type toBroker struct {
	address        string
	others         outbound.Dial // to other addresses
	opened, closed atomic.Int32
}

func (b *toBroker) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if address != b.address {
		return b.others(ctx, network, address)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	b.opened.Add(1)
	return &brokerConn{Conn: conn, by: b, in: alerts{padding: 16}}, nil
}

// brokerConn is a connection with TLS. Whoever ends it says so by an alert.
type brokerConn struct {
	net.Conn
	by *toBroker

	mu        sync.Mutex
	in, out   alerts
	ours, end bool
}

func (c *brokerConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	said := c.in.among(p[:n]) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
	if said && !c.ours && !c.end {
		c.end = true
		c.by.closed.Add(1)
	}
	return n, err
}

func (c *brokerConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.ours = c.out.among(p) || c.ours
	c.mu.Unlock()
	return c.Conn.Write(p)
}

// alerts follows the records of TLS in one direction.
type alerts struct {
	padding int // of a record
	head    []byte
	skip    int // bytes of the record
}

// among reports whether an alert begins among the next bytes: a record of the type 21, or by
// TLS 1.3 an encrypted one of two bytes with their type and 16 bytes of authentication,
// which is too short for anything of Kafka's. Java pads each by 16 bytes.
func (a *alerts) among(b []byte) (found bool) {
	for len(b) > 0 {
		n := min(a.skip, len(b))
		a.skip, b = a.skip-n, b[n:]
		n = min(5-len(a.head), len(b))
		a.head, b = append(a.head, b[:n]...), b[n:]
		if len(a.head) == 5 {
			a.skip = int(binary.BigEndian.Uint16(a.head[3:]))
			found = found || a.head[0] == 21 || a.head[0] == 23 && a.skip-a.padding == 2+1+16
			a.head = a.head[:0]
		}
	}
	return found
}

// TestConservation: two members of a group read a topic of a real broker while a
// writer goes on, the second comes late, the first is restarted, the second leaves
// and comes back, and the broker is killed and started again. Every record that the
// broker acknowledged is in a ledger, and nothing that was not written.
func TestConservation(t *testing.T) {
	broker := servicetest.Kafka(t)
	broker.CreateTopic(t, testTopic, 4)
	cfg := testConfig([]string{broker.Plain})
	cfg.Timeout = "5s"
	w := newWriter(t, []string{broker.Plain})
	a, b := newMember(t, cfg), newMember(t, cfg)

	a.start()
	w.write(t.Context(), 0, 600)
	await(t, "the first member reads", func() bool { return a.has() > 100 })
	b.start()
	await(t, "the second member joins", func() bool { return b.quiet.Load() > 0 })
	w.write(t.Context(), 600, 1200)
	await(t, "the second member reads", func() bool { return b.has() > 0 })
	a.end()
	w.write(t.Context(), 1200, 1800)
	a.start()
	b.end()
	w.write(t.Context(), 1800, 2400)
	b.start()
	await(t, "the second member joins again", func() bool { return b.quiet.Load() > 0 })

	writing, done := context.WithCancel(t.Context())
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		w.write(writing, 2400, 3000)
	}()
	broker.Kill(t)
	<-finished // its records are refused, or nobody knows
	broker.Restart(t)
	done()
	w.write(t.Context(), 3000, 3600)

	await(t, "everything is read", func() bool { return len(w.missing(a, b)) == 0 && a.quiet.Load() > 1 && b.quiet.Load() > 1 })
	a.end()
	b.end()
	w.assert(t, a, b)
}

// missing are the ids that no member has.
func (x *writer) missing(members ...*member) (ids []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.good {
		if !slices.ContainsFunc(members, func(m *member) bool {
			m.mu.Lock()
			defer m.mu.Unlock()
			return m.got[id] > 0
		}) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (x *writer) assert(t *testing.T, members ...*member) {
	t.Helper()
	spurious, fetched, bad, twice := 0, 0, map[string]bool{}, 0
	for _, m := range members {
		if m.fetched != m.kept {
			t.Errorf("the account does not add up: %d fetched, %d kept", m.fetched, m.kept)
		}
		fetched += m.fetched
		for id, n := range m.got {
			if !x.good[id] && !x.may[id] {
				spurious++
			}
			twice += n - 1
		}
		for raw := range m.bad {
			bad[raw] = true
		}
		for _, g := range m.gaps {
			t.Errorf("a gap: %s", g.Reason)
		}
	}
	missing := x.missing(members...)
	t.Logf("%d records acknowledged, %d of an unknown outcome; %d fetched, %d of them again; %d of %d that cannot be decoded; missing %d, spurious %d",
		len(x.good), len(x.may), fetched, twice, len(bad), x.bad, len(missing), spurious)
	if len(missing) > 0 || spurious > 0 || len(bad) < x.bad || len(x.good) < 2000 {
		t.Errorf("missing %v, spurious %d, %d of %d that cannot be decoded", missing, spurious, len(bad), x.bad)
	}
}
