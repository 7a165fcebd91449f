package servicetest

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// OpenSearchServer is one OpenSearch node. Bulk, data streams, templates, search and all field types work; there is no
// Index State Management. Version 2 has the security plugin: TLS, users, tokens. Version 3 has no plugin, so that it
// speaks plain HTTP and knows nobody; there the fields about that are empty.
type OpenSearchServer struct {
	*server
	searchAPI
	// CAFile is the PEM file of the authority that signed the node's certificate.
	CAFile string
	// WriterUser and WriterPassword may write to logs-appgov.*, and look for its stream and template, and nothing else.
	WriterUser, WriterPassword string
	// Token goes into "Authorization: Bearer"; it is a JSON web token of the writer.
	Token string
}

// OpenSearch starts a node of a major version, 2 or 3, for one test; it is gone when the test ends.
func OpenSearch(t testing.TB, major int) *OpenSearchServer {
	t.Helper()
	jars, home := build(t, "opensearch", major)
	dir := newDir(t, "opensearch")
	o := &OpenSearchServer{}
	args := append(javaOptions("512m"), "-cp", filepath.Join(jars, "security", "*")+":"+filepath.Join(jars, "*"), "org.codelibs.opensearch.runner.OpenSearchRunner",
		"-basePath", dir, "-confPath", filepath.Join(dir, "config"), "-clusterName", filepath.Base(dir), "-numOfNode", "1", "-printOnFailure")
	scheme, settings := "http://", ""
	makeFolders(t, dir, "config/opensearch-security")
	if major == 2 {
		scheme, settings = "https://", securitySettings
		args = append(args, "-pluginTypes", "org.opensearch.security.OpenSearchSecurityPlugin")
		o.secure(t, filepath.Join(dir, "config"), jars)
	}
	o.client = searchClient(t, o.CAFile)
	o.server = launch(t, dir, func() *server {
		// The program counts up from the port before the one that it is to have, and knows no port above 9299.
		port, transport := freePortsIn(t, 9_201, 9_300, 1)[0], freePorts(t, 1)[0]
		o.URL = scheme + address(port)
		writeFile(t, filepath.Join(dir, "config", "opensearch.yml"), fmt.Sprintf(`discovery.type: single-node
http.host: 127.0.0.1
transport.host: 127.0.0.1
transport.port: %d
cluster.routing.allocation.disk.threshold_enabled: false
`, transport)+settings)
		return &server{
			name: "opensearch",
			command: func() *exec.Cmd {
				return exec.Command(filepath.Join(home, "bin", "java"), append(args, "-baseHttpPort", strconv.Itoa(port-1))...)
			},
			ready: func(ctx context.Context) error { return o.isCluster(ctx, filepath.Base(dir)) },
		}
	})
	return o
}

const securitySettings = `plugins.security.ssl.transport.pemcert_filepath: server.crt
plugins.security.ssl.transport.pemkey_filepath: server.key
plugins.security.ssl.transport.pemtrustedcas_filepath: ca.pem
plugins.security.ssl.http.enabled: true
plugins.security.ssl.http.pemcert_filepath: server.crt
plugins.security.ssl.http.pemkey_filepath: server.key
plugins.security.ssl.http.pemtrustedcas_filepath: ca.pem
plugins.security.allow_default_init_securityindex: true
plugins.security.audit.type: noop
`

// secure fills the folder that the security plugin reads when the node starts for the first time, and says in o who may
// log in.
func (o *OpenSearchServer) secure(t testing.TB, config, jars string) {
	t.Helper()
	certs := newCertificates(t, config)
	plugin := filepath.Join(config, "opensearch-security")
	if err := os.CopyFS(plugin, os.DirFS(filepath.Join(jars, "security", "config"))); err != nil {
		t.Fatalf("copy the plugin's configuration: %v", err)
	}
	key := sha256.Sum256([]byte(config))
	o.CAFile, o.User, o.Password, o.WriterUser, o.WriterPassword = certs.caFile, "admin", "admin-password", "writer", "writer-password"
	o.Token = webToken(`{"sub":"writer"}`, key[:])
	for file, text := range map[string]string{
		"config.yml": `_meta: {type: config, config_version: 2}
config:
  dynamic:
    authc:
      token:
        http_enabled: true
        order: 0
        http_authenticator: {type: jwt, challenge: false, config: {signing_key: "` + base64.StdEncoding.EncodeToString(key[:]) + `", subject_key: sub}}
        authentication_backend: {type: noop}
      password:
        http_enabled: true
        order: 1
        http_authenticator: {type: basic, challenge: true}
        authentication_backend: {type: internal}
`,
		// bcrypt of the passwords above
		"internal_users.yml": `_meta: {type: internalusers, config_version: 2}
admin: {hash: "$2a$04$ub7wzNQVnucBJ7sATPeAMe19EiUp6v9XpfDJRmxC6jYdYKPzlH0ai", backend_roles: [admin]}
writer: {hash: "$2a$04$iDkQb3xWkwni53Ogldw6Defq5fv2PB0lZzX4qSW2ME6jnpaINQs3u"}
`,
		"roles.yml": `_meta: {type: roles, config_version: 2}
appgov_writer:
  cluster_permissions: ["indices:data/write/bulk", "indices:admin/index_template/get"]
  index_permissions:
    - index_patterns: ["logs-appgov.*"]
      allowed_actions: ["indices:data/write/bulk*", "indices:data/write/index", "indices:admin/create", "indices:admin/mapping/put", "indices:admin/data_stream/get"]
`,
		"roles_mapping.yml": `_meta: {type: rolesmapping, config_version: 2}
all_access: {backend_roles: [admin]}
appgov_writer: {users: [writer]}
`,
	} {
		writeFile(t, filepath.Join(plugin, file), text)
	}
}

// webToken is a JSON web token signed by HMAC with SHA-256.
func webToken(claims string, key []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// isCluster tells whether the node takes searches and is the one of that cluster, and not another test's that was
// quicker to take the port.
func (o *OpenSearchServer) isCluster(ctx context.Context, name string) error {
	content, err := o.do(ctx, http.MethodGet, "/", "")
	if err != nil {
		return err
	}
	var root struct {
		ClusterName string `json:"cluster_name"`
	}
	if err := json.Unmarshal(content, &root); err != nil {
		return fmt.Errorf("decode answer: %w", err)
	}
	if root.ClusterName != name {
		return fmt.Errorf("the cluster on the port is %q", root.ClusterName)
	}
	return o.answers(ctx)
}
