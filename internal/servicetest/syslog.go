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

// syslogArrival bounds how long Await waits for messages on their way.
const syslogArrival = 60 * time.Second

// SyslogOptions say how the server behaves. The zero value takes any client.
type SyslogOptions struct {
	// ClientAuth makes the TLS listener demand a certificate of the server's authority (RFC 5425, section 4.2).
	ClientAuth bool
}

// SyslogServer is one daemon, rsyslog or syslog-ng, that writes each message, as it parsed it, as one JSON line to Output.
type SyslogServer struct {
	*server
	// UDP, TCP and TLS are the listeners' addresses (host:port); TCP and TLS take octet-counted frames (RFC 6587,
	// section 3.4.1), those of rsyslog also newline-framed ones.
	UDP, TCP, TLS string
	// CAFile is the PEM file of the authority that signed the server's and the client's certificate.
	CAFile string
	// ClientCert and ClientKey are PEM files of a client that TLS lets in.
	ClientCert, ClientKey string
	// Output is the file with one JSON object per message, see SyslogMessage.
	Output string
}

// SyslogMessage is one message as the daemon parsed it (RFC 5424, section 6). Absent fields are "-", as on the wire, of
// syslog-ng "".
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
func Rsyslog(t testing.TB, options SyslogOptions) *SyslogServer {
	t.Helper()
	daemon := Program(t, "rsyslogd")
	if !hasTLSDriver() {
		unavailable(t, "rsyslog-openssl is not installed; run make services")
	}
	return startSyslog(t, "rsyslog", func(r *SyslogServer, dir string, certs certificates, ports []int) *exec.Cmd {
		conf := writeFile(t, filepath.Join(dir, "rsyslog.conf"), r.config(dir, certs, options, ports))
		return exec.Command(daemon, "-n", "-f", conf, "-i", filepath.Join(dir, "rsyslog.pid"))
	})
}

// SyslogNG starts a daemon for one test; it is gone when the test ends.
func SyslogNG(t testing.TB, options SyslogOptions) *SyslogServer {
	t.Helper()
	base, err := cacheDir()
	if err != nil {
		unavailable(t, err.Error())
	}
	home := filepath.Join(base, "syslog-ng")
	daemon, libraries := filepath.Join(home, "usr/sbin/syslog-ng"), filepath.Join(home, "usr/lib/syslog-ng")
	modules, _ := filepath.Glob(libraries + "/*/libsyslogformat.so")
	if len(modules) == 0 {
		unavailable(t, "syslog-ng is not installed under "+base+"; run make services")
	}
	return startSyslog(t, "syslog-ng", func(r *SyslogServer, dir string, certs certificates, ports []int) *exec.Cmd {
		conf := writeFile(t, filepath.Join(dir, "syslog-ng.conf"), r.configNG(certs, options, ports))
		cmd := exec.Command(daemon, "--foreground", "--no-caps", "--stderr", "--module-path", filepath.Dir(modules[0]), "--cfgfile", conf,
			"--persist-file", filepath.Join(dir, "persist"), "--pidfile", filepath.Join(dir, "pid"), "--control", filepath.Join(dir, "control"))
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
		return cmd
	})
}

func startSyslog(t testing.TB, name string, command func(r *SyslogServer, dir string, certs certificates, ports []int) *exec.Cmd) *SyslogServer {
	t.Helper()
	dir := newDir(t, name)
	certs := newCertificates(t, dir)
	r := &SyslogServer{
		CAFile: certs.caFile, ClientCert: certs.clientCertFile, ClientKey: certs.clientKeyFile,
		Output: filepath.Join(dir, "messages.jsonl"),
	}
	r.server = launch(t, dir, func() *server {
		ports := freePorts(t, 3)
		r.UDP, r.TCP, r.TLS = address(ports[0]), address(ports[1]), address(ports[2])
		return &server{name: name, command: func() *exec.Cmd { return command(r, dir, certs, ports) }, ready: r.answers}
	})
	return r
}

func (r *SyslogServer) configNG(certs certificates, options SyslogOptions, ports []int) string {
	verify := "optional-untrusted"
	if options.ClientAuth {
		verify = "required-trusted"
	}
	tls := fmt.Sprintf(` tls(key-file("%s") cert-file("%s") ca-file("%s") peer-verify(%s))`, certs.keyFile, certs.certFile, certs.caFile, verify)
	conf := "@version: 3.38\noptions { keep-hostname(yes); use-dns(no); dns-cache(no); flush-lines(1); stats-freq(0); log-msg-size(1048576); frac-digits(6); };\n"
	for i, transport := range []string{"udp", "tcp", "tls"} {
		conf += fmt.Sprintf("source \"%s\" { syslog(ip(\"127.0.0.1\") port(%d) transport(\"%[1]s\")%[3]s); };\n", transport, ports[i], map[string]string{"tls": tls}[transport])
	}
	return conf + fmt.Sprintf(`log {
  source("udp"); source("tcp"); source("tls");
  destination { file("%s" template("{\"input\":\"$SOURCE\",\"message\":$(format-json pri=$PRI time=$S_ISODATE hostname=$HOST app=$PROGRAM procid=$PID msgid=$MSGID structured_data=$SDATA msg=$MSG)}\n")); };
};
`, r.Output)
}

func hasTLSDriver() bool {
	for _, pattern := range []string{"/usr/lib*/*/rsyslog/lmnsd_ossl.so", "/usr/lib*/rsyslog/lmnsd_ossl.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return true
		}
	}
	return false
}

func (r *SyslogServer) config(dir string, certs certificates, options SyslogOptions, ports []int) string {
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
func (r *SyslogServer) answers(ctx context.Context) error {
	for _, listener := range []string{r.TCP, r.TLS} {
		conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", listener)
		if err != nil {
			return fmt.Errorf("dial: %w", err)
		}
		_ = conn.Close()
	}
	return nil
}

// Messages are the messages that have arrived so far, in order of arrival.
func (r *SyslogServer) Messages(t testing.TB) []SyslogMessage {
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
		var m struct {
			SyslogMessage
			Message *SyslogMessage `json:"message"` // of syslog-ng
		}
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("decode message %q: %v", line, err)
		}
		if m.Message != nil {
			input := m.Input
			m.SyslogMessage = *m.Message
			m.Input = input
		}
		all = append(all, m.SyslogMessage)
	}
	return all
}

// Await waits until at least n messages have arrived and returns all; the test ends when they do not come.
func (r *SyslogServer) Await(t testing.TB, n int) []SyslogMessage {
	t.Helper()
	limit := time.After(syslogArrival)
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
