package servicetest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// rsyslogArrival bounds how long Await waits for messages on their way.
const rsyslogArrival = 60 * time.Second

// RsyslogOptions say how the server behaves. The zero value takes any client.
type RsyslogOptions struct {
	// ClientAuth makes the TLS listener demand a certificate of the server's authority (RFC 5425, section 4.2).
	ClientAuth bool
}

// RsyslogServer is one rsyslog daemon that writes each message, as it parsed it, as one JSON line to Output.
type RsyslogServer struct {
	*server
	// UDP, TCP and TLS are the listeners' addresses (host:port); TCP and TLS take octet-counted frames (RFC 6587,
	// section 3.4.1) and newline-framed ones.
	UDP, TCP, TLS string
	// CAFile is the PEM file of the authority that signed the server's and the client's certificate.
	CAFile string
	// ClientCert and ClientKey are PEM files of a client that TLS lets in.
	ClientCert, ClientKey string
	// Output is the file with one JSON object per message, see SyslogMessage.
	Output string
}

// SyslogMessage is one message as rsyslog parsed it (RFC 5424, section 6). Absent fields are "-", as on the wire.
type SyslogMessage struct {
	// Input is the listener that took it: udp, tcp or tls.
	Input string `json:"input"`
	// Pri is facility * 8 + severity.
	Pri string `json:"pri"`
	// Time is the header's time in RFC 3339.
	Time           string `json:"time"`
	Hostname       string `json:"hostname"`
	App            string `json:"app"`
	ProcID         string `json:"procid"`
	MsgID          string `json:"msgid"`
	StructuredData string `json:"structured_data"`
	// Msg is the text as it came, with a byte order mark where there was one, and with its control characters.
	Msg string `json:"msg"`
}

// Rsyslog starts a daemon for one test; it is gone when the test ends.
func Rsyslog(t testing.TB, options RsyslogOptions) *RsyslogServer {
	t.Helper()
	daemon := Program(t, "rsyslogd")
	if !hasTLSDriver() {
		unavailable(t, "rsyslog-openssl is not installed; run make services")
	}
	dir := newDir(t, "rsyslog")
	certs := newCertificates(t, dir)
	r := &RsyslogServer{
		CAFile: certs.caFile, ClientCert: certs.clientCertFile, ClientKey: certs.clientKeyFile,
		Output: filepath.Join(dir, "messages.jsonl"),
	}
	r.server = launch(t, dir, func() *server {
		ports := freePorts(t, 3)
		r.UDP, r.TCP, r.TLS = address(ports[0]), address(ports[1]), address(ports[2])
		conf := writeFile(t, filepath.Join(dir, "rsyslog.conf"), r.config(dir, certs, options, ports))
		return &server{
			name: "rsyslog",
			command: func() *exec.Cmd {
				return exec.Command(daemon, "-n", "-f", conf, "-i", filepath.Join(dir, "rsyslog.pid"))
			},
			ready: r.answers,
		}
	})
	return r
}

func hasTLSDriver() bool {
	for _, pattern := range []string{"/usr/lib*/*/rsyslog/lmnsd_ossl.so", "/usr/lib*/rsyslog/lmnsd_ossl.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

func (r *RsyslogServer) config(dir string, certs certificates, options RsyslogOptions, ports []int) string {
	auth := "anon"
	if options.ClientAuth {
		auth = "x509/certvalid"
	}
	return fmt.Sprintf(`global(
  workDirectory="%[1]s"
  maxMessageSize="1m"
  parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="%[2]s"
  defaultNetstreamDriverCertFile="%[3]s"
  defaultNetstreamDriverKeyFile="%[4]s"
)
module(load="imudp")
module(load="imtcp")
template(name="json" type="list" option.jsonf="on") {
  property(outname="input" name="inputname" format="jsonf")
  property(outname="pri" name="pri" format="jsonf")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="hostname" name="hostname" format="jsonf")
  property(outname="app" name="app-name" format="jsonf")
  property(outname="procid" name="procid" format="jsonf")
  property(outname="msgid" name="msgid" format="jsonf")
  property(outname="structured_data" name="structured-data" format="jsonf")
  property(outname="msg" name="msg" format="jsonf")
}
ruleset(name="store") {
  action(type="omfile" file="%[5]s" template="json")
}
input(type="imudp" address="127.0.0.1" port="%[6]d" name="udp" ruleset="store")
input(type="imtcp" address="127.0.0.1" port="%[7]d" name="tcp" ruleset="store")
input(type="imtcp" address="127.0.0.1" port="%[8]d" name="tls" ruleset="store"
  streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="%[9]s")
`, dir, certs.caFile, certs.certFile, certs.keyFile, r.Output, ports[0], ports[1], ports[2], auth)
}

// answers tells whether both TCP listeners take connections; the UDP one is bound before them.
func (r *RsyslogServer) answers(ctx context.Context) error {
	for _, listener := range []string{r.TCP, r.TLS} {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", listener)
		if err != nil {
			return fmt.Errorf("dial rsyslog: %w", err)
		}
		_ = conn.Close()
	}
	return nil
}

// Messages are the messages that have arrived so far, in order of arrival.
func (r *RsyslogServer) Messages(t testing.TB) []SyslogMessage {
	t.Helper()
	content, err := os.ReadFile(r.Output)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("read messages: %v", err)
	}
	var all []SyslogMessage
	for line := range bytes.Lines(content) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		// A kill may cut a line short, and the next message follows on it; within a text the quotes would be escaped.
		line = line[max(0, bytes.LastIndex(line, []byte(`{"input":"`))):]
		var m SyslogMessage
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("decode message %q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

// Await waits until at least n messages have arrived and returns all; the test ends when they do not come.
func (r *RsyslogServer) Await(t testing.TB, n int) []SyslogMessage {
	t.Helper()
	limit := time.After(rsyslogArrival)
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		messages := r.Messages(t)
		if len(messages) >= n {
			return messages
		}
		select {
		case <-limit:
			t.Fatalf("wait for messages: %d of %d arrived\n%s", len(messages), n, r.output())
		case <-tick.C:
		}
	}
}
