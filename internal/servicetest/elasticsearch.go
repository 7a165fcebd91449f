package servicetest

import (
	"bytes"
	"context"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// nobody is the user that Elasticsearch runs as when the tests run as root, which it refuses.
	nobody = 65534
	// searchPage is how many hits one request of Search fetches.
	searchPage = 5_000
	// elasticsearchCall bounds one request of a helper.
	elasticsearchCall = 30 * time.Second
)

// ElasticsearchServer is one Elasticsearch node with security and TLS on. It is the build that Elastic publishes for
// integration tests: bulk, data streams, search, TLS, file users and service tokens work; API keys, ILM, ingest
// pipelines and the data-stream calls of the REST API do not.
type ElasticsearchServer struct {
	*server
	// URL is the node's https address without a path.
	URL string
	// CAFile is the PEM file of the authority that signed the node's certificate.
	CAFile string
	// User and Password are a superuser's.
	User, Password string
	// WriterUser and WriterPassword may create documents in logs-appgov* and nothing else.
	WriterUser, WriterPassword string
	// ServiceToken goes into "Authorization: Bearer"; it may write to logs-*.
	ServiceToken string

	client *http.Client
}

// Hit is one document of a search.
type Hit struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// Elasticsearch starts a node for one test; it is gone when the test ends.
func Elasticsearch(t testing.TB) *ElasticsearchServer {
	t.Helper()
	archive, javaHome := cached(t, "elasticsearch"), javaHome(t)
	dir := newDir(t, "elasticsearch")
	home := filepath.Join(dir, "home")
	if err := os.CopyFS(home, os.DirFS(archive)); err != nil {
		t.Fatalf("copy elasticsearch: %v", err)
	}
	certs := newCertificates(t, dir)
	e := &ElasticsearchServer{
		CAFile: certs.caFile, User: "admin", Password: "admin-password",
		WriterUser: "writer", WriterPassword: "writer-password",
		client: httpsClient(t, certs.caFile),
	}
	e.writeUsers(t, filepath.Join(home, "config"))
	copyInto(t, filepath.Join(home, "config", "certs"), certs.certFile, certs.keyFile)
	e.server = launch(t, dir, func() *server {
		ports := freePorts(t, 2)
		e.URL = "https://" + address(ports[0])
		writeFile(t, filepath.Join(home, "config", "elasticsearch.yml"), nodeSettings(dir, ports[0], ports[1]))
		makeRunnable(t, dir)
		return &server{
			name:    "elasticsearch",
			command: func() *exec.Cmd { return nodeCommand(home, javaHome) },
			ready:   e.answers,
		}
	})
	return e
}

// javaHome is the folder of the JDK whose java is on the path.
func javaHome(t testing.TB) string {
	t.Helper()
	java, err := filepath.EvalSymlinks(Program(t, "java"))
	if err != nil {
		t.Fatalf("find java's home: %v", err)
	}
	return filepath.Dir(filepath.Dir(java))
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
	return fmt.Sprintf(`discovery.type: single-node
http.host: 127.0.0.1
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
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatalf("make folder: %v", err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatalf("read %s: %v", f, err)
		}
		writeFile(t, filepath.Join(dir, filepath.Base(f)), string(content))
	}
}

// makeRunnable makes the folders that the node writes to and, where the tests run as root, gives the tree to nobody.
func makeRunnable(t testing.TB, dir string) {
	t.Helper()
	for _, sub := range []string{"data", "logs", "home/tmp", "home/logs"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatalf("make folder: %v", err)
		}
	}
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

func httpsClient(t testing.TB, caFile string) *http.Client {
	t.Helper()
	ca, err := os.ReadFile(caFile)
	if err != nil {
		t.Fatalf("read authority: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: elasticsearchCall}
}

// answers tells whether the node takes searches, which it does once its cluster state has recovered.
func (e *ElasticsearchServer) answers(ctx context.Context) error {
	_, err := e.do(ctx, http.MethodGet, "/_search?size=0", "")
	return err
}

// do sends one request as the superuser and returns the body of a 2xx answer.
func (e *ElasticsearchServer) do(ctx context.Context, method, path, body string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, e.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	request.SetBasicAuth(e.User, e.Password)
	request.Header.Set("Content-Type", "application/json")
	answer, err := e.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if answer.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, answer.Status, bytes.TrimSpace(content))
	}
	return content, nil
}

// Do sends one request as the superuser, path with a leading slash and body as JSON or empty, and returns the answer's
// body; an answer that is not 2xx ends the test.
func (e *ElasticsearchServer) Do(t testing.TB, method, path, body string) []byte {
	t.Helper()
	content, err := e.do(t.Context(), method, path, body)
	if err != nil {
		t.Fatalf("call elasticsearch: %v", err)
	}
	return content
}

// Adapt is an index template with the field types that this build lacks replaced by their nearest relatives, which
// answer the same queries: it has no modules, so neither match_only_text nor constant_keyword.
func (e *ElasticsearchServer) Adapt(template string) string {
	return strings.NewReplacer(`"match_only_text"`, `"text"`, `"constant_keyword", "value": "logs"`, `"keyword"`, `"constant_keyword"`, `"keyword"`).Replace(template)
}

// Refresh makes everything that was written to an index or data stream visible to Search.
func (e *ElasticsearchServer) Refresh(t testing.TB, index string) {
	t.Helper()
	e.Do(t, http.MethodPost, "/"+url.PathEscape(index)+"/_refresh", "")
}

// Search returns every hit, however many. The body is the request's JSON, for example {"_source": ["event.id"]};
// empty means all documents whole.
func (e *ElasticsearchServer) Search(t testing.TB, index, body string) []Hit {
	t.Helper()
	path := fmt.Sprintf("/%s/_search?scroll=1m&size=%d", url.PathEscape(index), searchPage)
	var all []Hit
	for {
		var page struct {
			ScrollID string `json:"_scroll_id"`
			Hits     struct {
				Hits []Hit `json:"hits"`
			} `json:"hits"`
		}
		if err := json.Unmarshal(e.Do(t, http.MethodPost, path, body), &page); err != nil {
			t.Fatalf("decode search: %v", err)
		}
		if len(page.Hits.Hits) == 0 {
			return all
		}
		all = append(all, page.Hits.Hits...)
		path, body = "/_search/scroll", fmt.Sprintf(`{"scroll": "1m", "scroll_id": %q}`, page.ScrollID)
	}
}
