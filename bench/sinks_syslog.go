package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/appgovd/appgovd/internal/deliver"
	"github.com/appgovd/appgovd/internal/event"
	"github.com/appgovd/appgovd/internal/ledger"
	"github.com/appgovd/appgovd/internal/servicetest"
	"github.com/appgovd/appgovd/internal/sink/elastic"
	"github.com/appgovd/appgovd/internal/sink/kafka"
	"github.com/appgovd/appgovd/internal/sink/syslog"
)

// receiver counts the frames that come over TLS (RFC 5425), and keeps them where it is told to.
type receiver struct {
	listener net.Listener
	ca       string // file

	mu          sync.Mutex
	want, got   int
	first, last time.Time
	done        chan struct{}
	keep        io.Writer // may be nil
}

func newReceiver(dir string) (*receiver, error) {
	srv := httptest.NewUnstartedServer(nil) // for its certificate
	srv.StartTLS()
	certificates, ca := srv.TLS.Certificates, srv.Certificate()
	srv.Close()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o644); err != nil {
		return nil, err
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certificates, MinVersion: tls.VersionTLS12})
	if err != nil {
		return nil, err
	}
	r := &receiver{listener: l, ca: file}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.read(c)
		}
	}()
	return r, nil
}

// await begins to count; what it returns waits until n frames have come, and says how many
// they were a second, from the first one on or from begin.
func (r *receiver) await(n int, keep io.Writer) func(begin time.Time) (float64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.want, r.got, r.first, r.done, r.keep = n, 0, time.Time{}, make(chan struct{}), keep
	return func(begin time.Time) (float64, error) {
		select {
		case <-r.done:
		case <-time.After(10 * time.Minute):
			return 0, fmt.Errorf("not all of %d frames came", n)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if begin.IsZero() {
			begin = r.first
		}
		return float64(n) / r.last.Sub(begin).Seconds(), nil
	}
}

func (r *receiver) read(c net.Conn) {
	defer func() { _ = c.Close() }()
	b := bufio.NewReaderSize(c, 256<<10)
	for {
		size, err := b.ReadString(' ')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.TrimSpace(size))
		if err != nil {
			return
		}
		r.mu.Lock()
		if r.got == 0 {
			r.first = time.Now()
		}
		r.got++
		var to io.Writer = io.Discard
		if r.keep != nil {
			to = r.keep
		}
		_, err = io.CopyN(to, b, int64(n))
		if r.keep != nil {
			_, _ = r.keep.Write([]byte("\n"))
		}
		if r.got == r.want {
			r.last = time.Now()
			close(r.done)
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *receiver) sink() (deliver.Sink, error) {
	window := 0
	return syslog.New(syslog.Config{Address: r.listener.Addr().String(), TLS: &syslog.TLS{CAFile: r.ca}, Format: "json", ResendWindow: &window})
}

// tlsBench is a full ledger and a receiver for it.
func tlsBench(dir string) (s *store, r *receiver, end func(), err error) {
	const frames = 200
	if s, err = newStore(dir, frames); err != nil {
		return nil, nil, nil, err
	}
	if r, err = newReceiver(dir); err != nil {
		return nil, nil, nil, errors.Join(err, s.Close())
	}
	return s, r, func() { _, _ = r.listener.Close(), s.Close() }, nil
}

// toSyslog: rsyslog that forwards a file of the same messages is the measure, from the first
// message that arrives to the last one.
func toSyslog(t *program, dir string, turns int) error {
	s, r, end, err := tlsBench(dir)
	if err != nil {
		return err
	}
	defer end()
	messages := filepath.Join(dir, "messages")
	if err := s.record(r, messages); err != nil {
		return err
	}
	info, err := os.Stat(messages)
	if err != nil {
		return err
	}
	fmt.Printf("\nledger to syslog over TLS: %d messages of %d bytes to a receiver that counts them; rsyslog forwards a file of the same messages\n", s.alerts, info.Size()/int64(s.alerts))
	rsyslog := func(turn int) (float64, error) {
		arrived := r.await(s.alerts, nil)
		stop, err := forward(t, filepath.Join(dir, fmt.Sprint("rsyslog", turn)), messages, r)
		if err != nil {
			return 0, err
		}
		speed, err := arrived(time.Time{})
		stop()
		return speed, err
	}
	speeds, err := compete(turns, contender{"appgovd", func(int) (float64, error) { return s.overTLS(r) }}, contender{"rsyslog, imfile to omfwd", rsyslog})
	if err != nil {
		return err
	}
	faster("ledger to syslog over TLS, appgovd / rsyslog", speeds[0], speeds[1], "at least 1")
	return nil
}

// overTLS delivers everything on a connection that has proved itself before the clock runs.
func (s *store) overTLS(r *receiver) (float64, error) {
	sink, err := r.sink()
	if err != nil {
		return 0, err
	}
	first := r.await(1, nil)
	if err := sink.Write(context.Background(), []event.Alert{alertOf(rand.New(rand.NewPCG(1, 1)), 0)}); err != nil {
		return 0, err
	}
	if _, err := first(time.Time{}); err != nil {
		return 0, err
	}
	arrived, begin := r.await(s.alerts, nil), time.Now()
	if _, err := s.deliver(sink); err != nil {
		return 0, err
	}
	return arrived(begin)
}

// record writes what the sink sends into a file, a message to a line.
func (s *store) record(r *receiver, file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	arrived := r.await(s.alerts, w)
	sink, err := r.sink()
	if err == nil {
		_, err = s.deliver(sink)
	}
	if err == nil {
		_, err = arrived(time.Time{})
	}
	r.await(s.alerts, nil)
	return errors.Join(err, w.Flush(), f.Close())
}

// forward starts an rsyslog that sends the lines of a file.
func forward(t *program, dir, file string, r *receiver) (stop func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	abs := func(name string) string { a, _ := filepath.Abs(name); return a }
	_, port, _ := net.SplitHostPort(r.listener.Addr().String())
	conf := fmt.Sprintf(`global(workDirectory="%s" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="%s")
module(load="imfile")
template(name="line" type="string" string="%%msg%%")
ruleset(name="forward") {
  action(type="omfwd" target="127.0.0.1" port="%s" protocol="tcp" tcp_framing="octet-counted" streamDriver="ossl" streamDriverMode="1" streamDriverAuthMode="x509/certvalid" template="line")
}
input(type="imfile" file="%s" tag="bench" ruleset="forward")
`, abs(dir), abs(r.ca), port, abs(file))
	if err := os.WriteFile(filepath.Join(dir, "rsyslog.conf"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(servicetest.Program(t, "rsyslogd"), "-n", "-f", abs(filepath.Join(dir, "rsyslog.conf")), "-i", abs(filepath.Join(dir, "pid")))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }, nil
}

// besideDead: a sink over TLS alone, and with two beside it that are dead: nobody listens, and
// somebody who never answers.
func besideDead(_ *program, dir string, turns int) error {
	s, r, end, err := tlsBench(dir)
	if err != nil {
		return err
	}
	defer end()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = silent.Close() }()
	alone := func(int) (float64, error) { return s.overTLS(r) }
	beside := func(turn int) (float64, error) {
		stop, err := s.dead(silent.Addr().String())
		if err != nil {
			return 0, err
		}
		speed, err := alone(turn)
		return speed, errors.Join(err, stop())
	}
	fmt.Printf("\na sink (syslog over TLS, %d alerts) alone and beside two that are dead\n", s.alerts)
	speeds, err := compete(turns, contender{"alone", alone}, contender{"beside two dead ones", beside})
	if err != nil {
		return err
	}
	faster("a live sink beside two dead ones / alone", speeds[1], speeds[0], "at least 0.98")
	return nil
}

// dead runs workers whose sinks take nothing.
func (s *store) dead(silent string) (stop func() error, err error) {
	gone, err := kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:1"}, Topic: "gone"}, kafka.Options{})
	if err != nil {
		return nil, err
	}
	quiet, err := elastic.New(elastic.Config{Addresses: []string{"http://" + silent}, Proxy: "none"}, elastic.Options{})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	for _, sink := range []deliver.Sink{gone, quiet} {
		s.cursors++
		name := fmt.Sprintf("bench/%d", s.cursors)
		reader, err := s.Reader(name, ledger.ReaderOptions{FromStart: true})
		if err != nil {
			cancel()
			return nil, err
		}
		w := deliver.New(deliver.Options{Name: name, Sink: sink, Reader: reader, DeadLetters: s})
		go func() { ended <- errors.Join(w.Run(ctx), sink.Close()) }()
	}
	return func() error {
		cancel()
		return errors.Join(<-ended, <-ended)
	}, nil
}
