package servicetest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// OpenSearchServer is one OpenSearch node without plugins: it has neither security, so that it speaks plain HTTP and
// knows nobody, nor Index State Management. Bulk, data streams, templates, search and all field types work.
type OpenSearchServer struct {
	*server
	searchAPI
}

// OpenSearch starts a node of a major version, 2 or 3, for one test; it is gone when the test ends.
func OpenSearch(t testing.TB, major int) *OpenSearchServer {
	t.Helper()
	jars, home := build(t, "opensearch", major)
	java := filepath.Join(home, "bin", "java")
	dir := newDir(t, "opensearch")
	o := &OpenSearchServer{searchAPI: searchAPI{client: searchClient(t, "")}}
	o.server = launch(t, dir, func() *server {
		// The program counts up from the port before the one that it is to have, and knows no port above 9299.
		port, transport := freePortsIn(t, 9_201, 9_300, 1)[0], freePorts(t, 1)[0]
		o.URL = "http://" + address(port)
		makeFolders(t, dir, "config")
		writeFile(t, filepath.Join(dir, "config", "opensearch.yml"), fmt.Sprintf(`discovery.type: single-node
http.host: 127.0.0.1
transport.host: 127.0.0.1
transport.port: %d
cluster.routing.allocation.disk.threshold_enabled: false
`, transport))
		return &server{
			name: "opensearch",
			command: func() *exec.Cmd {
				return exec.Command(java, append(javaOptions("512m"), "-cp", filepath.Join(jars, "*"), "org.codelibs.opensearch.runner.OpenSearchRunner",
					"-basePath", dir, "-confPath", filepath.Join(dir, "config"), "-clusterName", filepath.Base(dir),
					"-numOfNode", "1", "-baseHttpPort", strconv.Itoa(port-1), "-printOnFailure")...)
			},
			ready: func(ctx context.Context) error { return o.isCluster(ctx, filepath.Base(dir)) },
		}
	})
	return o
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
