package syslog

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/deliver/sinktest"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink has a short grace, so that tests are quick; edit may be nil.
func sink(t *testing.T, c Config, edit func(*stream)) *Sink {
	t.Helper()
	if c.Protocol == "" {
		c.Protocol = protocolTCP
	}
	if c.MaxMessageBytes == 0 {
		c.MaxMessageBytes = 64000
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := s.out.(*stream); ok {
		out.grace = 50 * time.Millisecond
		if edit != nil {
			edit(out)
		}
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func write(t *testing.T, s *Sink, batch []event.Alert) {
	t.Helper()
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	t.Run("tcp", func(t *testing.T) {
		sinktest.Run(t, sinktest.Suite{
			Unacknowledged: true,
			Can:            []sinktest.Behaviour{sinktest.Down, sinktest.Cut, sinktest.Silent},
			Start: func(t *testing.T, b sinktest.Behaviour) sinktest.Peer {
				var on func(*receiver, int, net.Conn)
				if b == sinktest.Cut {
					on = func(*receiver, int, net.Conn) {}
				}
				r := listen(t, on)
				s := sink(t, Config{Address: r.address(), MaxMessageBytes: 128 << 10}, nil)
				switch b {
				case sinktest.Down:
					_ = r.l.Close()
				case sinktest.Silent: // a machine behind a firewall that drops
					s.out.(*stream).dial = func(ctx context.Context) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
				}
				return sinktest.Peer{Sink: s, Got: r.ids}
			},
		})
	})
	t.Run("udp", func(t *testing.T) {
		sinktest.Run(t, sinktest.Suite{
			Unacknowledged: true,
			Start: func(t *testing.T, _ sinktest.Behaviour) sinktest.Peer {
				address, r := datagramReceiver(t)
				return sinktest.Peer{Sink: sink(t, Config{Address: address, Protocol: protocolUDP, Format: "json"}, nil), Got: r.ids}
			},
		})
	})
}

func TestABrokenConnectionLosesNothing(t *testing.T) {
	batch := sinktest.Batch(300)
	ids := sinktest.IDs(batch)
	t.Run("whatever the number of bytes after which the peer closes", func(t *testing.T) {
		for _, k := range []int64{0, 1, 100, 2_000, 50_000, 120_000, 300_000} {
			r := listen(t, func(r *receiver, n int, c net.Conn) {
				if n == 1 {
					_ = r.read(io.LimitReader(c, k))
					return
				}
				_ = r.read(c)
			})
			s := sink(t, Config{Address: r.address()}, nil)
			for i := 0; i < len(batch); i += 50 {
				for again := 0; s.Write(t.Context(), batch[i:i+50]) != nil; again++ {
					if again > 3 {
						t.Fatal("no connection after the first")
					}
				}
			}
			for limit := time.After(time.Minute); len(distinct(r.ids(0))) < len(ids); {
				select {
				case <-s.Lost(): // as the worker does
					write(t, s, nil)
				case <-time.After(10 * time.Millisecond):
				case <-limit:
					t.Fatalf("after %d bytes: %d of %d alerts", k, len(distinct(r.ids(0))), len(ids))
				}
			}
			if diff := cmp.Diff(ids, distinct(r.ids(0))); diff != "" {
				t.Errorf("after %d bytes: ids (-sent +arrived):\n%s", k, diff)
			}
		}
	})
	t.Run("a peer that read nothing of what its kernel took gets it again", func(t *testing.T) {
		hold := make(chan struct{})
		r := listen(t, func(r *receiver, n int, c net.Conn) {
			if n == 1 {
				<-hold
				return
			}
			_ = r.read(c)
		})
		s := sink(t, Config{Address: r.address()}, nil)
		write(t, s, batch[:20])
		write(t, s, batch[20:40])
		close(hold)
		<-s.Lost()
		write(t, s, nil)
		if diff := cmp.Diff(ids[:40], r.ids(40)); diff != "" {
			t.Errorf("ids (-sent +arrived):\n%s", diff)
		}
	})
	t.Run("the window goes out first, then what is new, and no more than the window", func(t *testing.T) {
		r := listen(t, nil)
		window := 10
		s := sink(t, Config{Address: r.address(), ResendWindow: &window}, nil)
		write(t, s, batch[:30])
		r.ids(30)
		r.hangUp()
		<-s.Lost()
		write(t, s, batch[30:35])
		want := append(append(ids[:30:30], ids[20:30]...), ids[30:35]...)
		if diff := cmp.Diff(want, r.ids(45)); diff != "" {
			t.Errorf("ids (-want +got):\n%s", diff)
		}
	})
	t.Run("a connection that ended in order, long after the last alert, took everything", func(t *testing.T) {
		r := listen(t, nil)
		s := sink(t, Config{Address: r.address()}, func(out *stream) { out.believe = 0 })
		write(t, s, batch[:30])
		r.ids(30)
		r.hangUp()
		<-s.Lost()
		write(t, s, nil)
		write(t, s, batch[30:31])
		if diff := cmp.Diff(ids[:31], r.ids(31)); diff != "" {
			t.Errorf("ids (-want +got):\n%s", diff)
		}
	})
	t.Run("a peer that lets in and hangs up after what was written does not count", func(t *testing.T) {
		r := listen(t, func(_ *receiver, _ int, c net.Conn) { _, _ = frame(bufio.NewReader(c)) })
		s := sink(t, Config{Address: r.address()}, nil)
		for range 5 {
			if err := s.Write(t.Context(), batch[:1]); err == nil || !strings.Contains(fault.Hint(err), "closed the connection") {
				t.Fatalf("error %v, hint %q", err, fault.Hint(err))
			}
		}
	})
}

func TestAPeerThatStopsReadingIsNoticed(t *testing.T) {
	quit := make(chan struct{})
	r := listen(t, func(_ *receiver, _ int, c net.Conn) {
		_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		<-quit
	})
	defer close(quit)
	s := sink(t, Config{Address: r.address()}, func(out *stream) { out.timeout = 200 * time.Millisecond })
	batch := sinktest.Batch(500)
	var err error
	for range 50 {
		if err = s.Write(t.Context(), batch); err != nil {
			break
		}
	}
	if err == nil || fault.Of(err) != fault.Transient || !strings.Contains(fault.Hint(err), "stopped reading") {
		t.Errorf("error %v, hint %q", err, fault.Hint(err))
	}
	t.Run("a context that ends frees a write that hangs", func(t *testing.T) {
		s := sink(t, Config{Address: r.address()}, func(out *stream) { out.timeout = time.Hour })
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for err = nil; err == nil; {
			err = s.Write(ctx, batch)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	})
}

func TestAMessageThatIsTooLargeIsRefusedAndNeverCut(t *testing.T) {
	for _, protocol := range []string{protocolTCP, protocolUDP} {
		t.Run(protocol, func(t *testing.T) {
			address, r := datagramReceiver(t)
			if protocol == protocolTCP {
				r = listen(t, nil)
				address = r.address()
			}
			s := sink(t, Config{Address: address, Protocol: protocol, MaxMessageBytes: 4000}, nil)
			batch := sinktest.Batch(3)
			batch[1].Summary = strings.Repeat("x", 4000)
			var rejected *deliver.Rejected
			if err := s.Write(t.Context(), batch); !errors.As(err, &rejected) || len(rejected.Items) != 1 || rejected.Items[0].Index != 1 || len(rejected.Retry) != 0 {
				t.Fatalf("error %#v", err)
			}
			if reason := rejected.Items[0].Reason; !strings.Contains(reason, "max_message_bytes (4000)") {
				t.Errorf("reason %q", reason)
			}
			if len(r.ids(2)) != 2 {
				t.Error("its neighbours did not arrive")
			}
		})
	}
	t.Run("a datagram that the kernel refuses goes to the dead letter by itself", func(t *testing.T) {
		s := sink(t, Config{Address: "127.0.0.1:9", Protocol: protocolUDP, MaxMessageBytes: mostUDPBytes}, nil)
		s.maxBytes = 1 << 20
		batch := sinktest.Batch(1)
		for range 40 {
			batch[0].Evidence = append(batch[0].Evidence, event.Evidence{Summary: strings.Repeat("x", 4000)})
		}
		err := s.Write(t.Context(), batch)
		if fault.Of(err) != fault.Permanent || !strings.Contains(fault.Hint(err), "use tcp or tls") {
			t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
		}
	})
}

func TestMistakesInTheConfiguration(t *testing.T) {
	ok := Config{Address: "siem:6514"}
	for _, c := range []Config{ok, {Address: "siem:514", Protocol: "udp"}, {Address: "siem:6514", MaxMessageBytes: 1 << 20}} {
		if err := c.Validate().Err(); err != nil {
			t.Error(err)
		}
	}
	number := func(n int) *int { return &n }
	for _, tt := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"no port", func(c *Config) { c.Address = "siem" }, "not host:port"},
		{"an unknown protocol", func(c *Config) { c.Protocol = "relp" }, "is none of"},
		{"an unknown format", func(c *Config) { c.Format = "xml" }, "is no format"},
		{"an unknown facility", func(c *Config) { c.Facility = "local8" }, "is no facility"},
		{"a host name that would forge a field", func(c *Config) { c.Hostname = "a b" }, "no host name"},
		{"an application name of two lines", func(c *Config) { c.AppName = "a\nb" }, "no application name"},
		{"a message that no receiver must take", func(c *Config) { c.MaxMessageBytes = 100 }, "is not between"},
		{"a datagram that cannot be", func(c *Config) { c.Protocol, c.MaxMessageBytes = "udp", 70000 }, "is not between"},
		{"a window over udp", func(c *Config) { c.Protocol, c.ResendWindow = "udp", number(5) }, "no meaning"},
		{"a window that eats the memory", func(c *Config) { c.MaxMessageBytes, c.ResendWindow = 1<<20, number(1000) }, "more memory"},
		{"TLS over udp", func(c *Config) { c.Protocol, c.TLS = "udp", &TLS{} }, "the protocol is udp"},
		{"half a client certificate", func(c *Config) { c.TLS = &TLS{CertFile: "x"} }, "other half"},
		{"a negative enterprise number", func(c *Config) { c.EnterpriseNumber = -1 }, "enterprise number"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := ok
			tt.edit(&c)
			if err := c.Validate().Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := New(c); err == nil {
				t.Error("New took it")
			}
		})
	}
	t.Run("an authority that is not there", func(t *testing.T) {
		if _, err := New(Config{Address: "siem:6514", TLS: &TLS{CAFile: "/nowhere"}}); err == nil || !strings.Contains(err.Error(), "certificate authorities") {
			t.Errorf("error %v", err)
		}
	})
}

// What the operator reads when the receiver cannot be reached.
func TestAReceiverThatCannotBeReached(t *testing.T) {
	for _, tt := range []struct {
		name  string
		start func(*testing.T) Config
		class fault.Class
		hint  string
	}{
		{"nothing listens", func(t *testing.T) Config {
			r := listen(t, nil)
			_ = r.l.Close()
			return Config{Address: r.address()}
		}, fault.Transient, "nothing listens"},
		{"the name does not resolve", func(*testing.T) Config { return Config{Address: "siem.invalid:514"} }, fault.Transient, "does not resolve"},
		{"the port speaks no TLS", func(t *testing.T) Config {
			return Config{Address: listen(t, func(_ *receiver, _ int, c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") }).address(), Protocol: protocolTLS}
		}, fault.Auth, "does not speak TLS"},
		{"it hangs up", func(t *testing.T) Config {
			return Config{Address: listen(t, func(*receiver, int, net.Conn) {}).address()}
		}, fault.Transient, "closed the connection"},
		{"it does not shake hands", func(t *testing.T) Config {
			quit := make(chan struct{})
			r := listen(t, func(*receiver, int, net.Conn) { <-quit })
			t.Cleanup(func() { close(quit) })
			return Config{Address: r.address(), Protocol: protocolTLS, Timeout: "1s"}
		}, fault.Transient, "does not answer"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := sink(t, tt.start(t), nil).Write(t.Context(), sinktest.Batch(1))
			if err == nil || !strings.HasPrefix(err.Error(), "write to syslog: ") || fault.Of(err) != tt.class || !strings.Contains(fault.Hint(err), tt.hint) {
				t.Errorf("%v: class %v, hint %q", err, fault.Of(err), fault.Hint(err))
			}
		})
	}
}
