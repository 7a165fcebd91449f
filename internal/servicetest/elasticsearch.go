package servicetest

import (
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// nobody is the user that Elasticsearch runs as when the tests run as root, which it refuses.
const nobody = 65534

// ElasticsearchServer is one Elasticsearch node with security and TLS on. It is the build that Elastic publishes for
// integration tests: bulk, data streams, search, TLS, file users and service tokens work; API keys, ILM, ingest
// pipelines and the data-stream calls of the REST API do not.
type ElasticsearchServer struct {
	*server
	searchAPI
	// CAFile is the PEM file of the authority that signed the node's certificate.
	CAFile string
	// WriterUser and WriterPassword may create documents in logs-appgov* and nothing else.
	WriterUser, WriterPassword string
	// ServiceToken goes into "Authorization: Bearer"; it may write to logs-*.
	ServiceToken string

	transport int // port that the nodes of a cluster talk to each other on
}

// Elasticsearch starts a node of version 8 for one test; it is gone when the test ends.
func Elasticsearch(t testing.TB) *ElasticsearchServer {
	t.Helper()
	return ElasticsearchOf(t, 8)
}

// ElasticsearchOf starts a node of a major version, 8 or 9, for one test; it is gone when the test ends.
func ElasticsearchOf(t testing.TB, major int) *ElasticsearchServer {
	t.Helper()
	return startNode(t, major, newCertificates(t, newDir(t, "certificates")), "discovery.type: single-node\n")
}

// ElasticsearchPair starts a cluster of two nodes. The second holds data and is never in charge, so that the first goes
// on when it is killed.
func ElasticsearchPair(t testing.TB, major int) (first, second *ElasticsearchServer) {
	t.Helper()
	certs := newCertificates(t, newDir(t, "certificates"))
	first = startNode(t, major, certs, "node.name: first\ncluster.initial_master_nodes: [first]\ndiscovery.seed_hosts: []\n")
	second = startNode(t, major, certs, fmt.Sprintf("node.name: second\nnode.roles: [data]\ndiscovery.seed_hosts: [%q]\n", address(first.transport)))
	return first, second
}

// startNode starts a node that finds the others of its cluster by the settings of discovery.
func startNode(t testing.TB, major int, certs certificates, discovery string) *ElasticsearchServer {
	t.Helper()
	archive, javaHome := build(t, "elasticsearch", major)
	dir := newDir(t, "elasticsearch")
	home := filepath.Join(dir, "home")
	if err := os.CopyFS(home, os.DirFS(archive)); err != nil {
		t.Fatalf("copy elasticsearch: %v", err)
	}
	e := &ElasticsearchServer{
		searchAPI:  searchAPI{User: "admin", Password: "admin-password", client: searchClient(t, certs.caFile)},
		CAFile:     certs.caFile,
		WriterUser: "writer", WriterPassword: "writer-password",
	}
	e.writeUsers(t, filepath.Join(home, "config"))
	copyInto(t, filepath.Join(home, "config", "certs"), certs.certFile, certs.keyFile)
	e.server = launch(t, dir, func() *server {
		ports := freePorts(t, 2)
		e.URL, e.transport = "https://"+address(ports[0]), ports[1]
		writeFile(t, filepath.Join(home, "config", "elasticsearch.yml"), discovery+nodeSettings(dir, ports[0], ports[1]))
		makeRunnable(t, dir)
		return &server{
			name:    "elasticsearch",
			command: func() *exec.Cmd { return nodeCommand(home, javaHome) },
			ready:   e.answers,
		}
	})
	return e
}

func nodeCommand(home, javaHome string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(home, "bin", "elasticsearch"))
	cmd.Dir = home
	cmd.Env = append(os.Environ(),
		"HOME="+home, "ES_JAVA_HOME="+javaHome, "ES_TMPDIR="+filepath.Join(home, "tmp"),
		"ES_JAVA_OPTS=-Xms512m -Xmx512m -XX:TieredStopAtLevel=1 -XX:-UsePerfData")
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

func nodeSettings(dir string, httpPort, transportPort int) string {
	return fmt.Sprintf(`http.host: 127.0.0.1
http.port: %d
transport.host: 127.0.0.1
transport.port: %d
path.data: %s
path.logs: %s
cluster.routing.allocation.disk.threshold_enabled: false
xpack.security.enabled: true
xpack.security.autoconfiguration.enabled: false
xpack.security.enrollment.enabled: false
xpack.security.http.ssl.enabled: true
xpack.security.http.ssl.key: certs/server.key
xpack.security.http.ssl.certificate: certs/server.crt
`, httpPort, transportPort, filepath.Join(dir, "data"), filepath.Join(dir, "logs"))
}

// writeUsers fills the file realm, the roles and the file of service tokens, and sets ServiceToken.
func (e *ElasticsearchServer) writeUsers(t testing.TB, config string) {
	t.Helper()
	const account, secret = "elastic/fleet-server/appgovd", "service-token-secret"
	writeFile(t, filepath.Join(config, "users"),
		e.User+":"+passwordHash(t, e.Password)+"\n"+e.WriterUser+":"+passwordHash(t, e.WriterPassword)+"\n")
	writeFile(t, filepath.Join(config, "users_roles"),
		"superuser:"+e.User+"\nappgov_writer:"+e.WriterUser+"\n")
	writeFile(t, filepath.Join(config, "roles.yml"), `appgov_writer:
  indices:
    - names: ["logs-appgov*"]
      privileges: ["auto_configure", "create_doc"]
`)
	writeFile(t, filepath.Join(config, "service_tokens"), account+":"+passwordHash(t, secret)+"\n")
	// The token's form is Elasticsearch's own: three bytes of version and type, then account and secret.
	e.ServiceToken = base64.StdEncoding.EncodeToString([]byte("\x00\x01\x00\x01" + account + ":" + secret))
}

// passwordHash is a password in the form {PBKDF2}rounds$salt$key, which Elasticsearch reads beside bcrypt
// (docs: security settings, "User cache and password hash algorithms").
func passwordHash(t testing.TB, password string) string {
	t.Helper()
	const rounds, size = 1_000, 32
	salt := make([]byte, size)
	_, _ = rand.Read(salt) // crypto/rand.Read never fails
	key, err := pbkdf2.Key(sha512.New, password, salt, rounds, size)
	if err != nil {
		t.Fatalf("hash password: %v", err)
	}
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("{PBKDF2}%d$%s$%s", rounds, encode(salt), encode(key))
}

func copyInto(t testing.TB, dir string, files ...string) {
	t.Helper()
	makeFolders(t, dir, "")
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatalf("read %s: %v", f, err)
		}
		writeFile(t, filepath.Join(dir, filepath.Base(f)), string(content))
	}
}

func makeFolders(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatalf("make folder: %v", err)
		}
	}
}

// makeRunnable makes the folders that the node writes to and, where the tests run as root, gives the tree to nobody.
func makeRunnable(t testing.TB, dir string) {
	t.Helper()
	makeFolders(t, dir, "data", "logs", "home/tmp", "home/logs")
	if os.Geteuid() != 0 {
		return
	}
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	if err != nil {
		t.Fatalf("give the folder to nobody: %v", err)
	}
}

// Adapt is an index template with the field types that this build lacks replaced by their nearest relatives, which
// answer the same queries: it has no modules, so neither match_only_text nor constant_keyword.
func (e *ElasticsearchServer) Adapt(template string) string {
	return strings.NewReplacer(`"match_only_text"`, `"text"`, `"constant_keyword", "value": "logs"`, `"keyword"`, `"constant_keyword"`, `"keyword"`).Replace(template)
}
