//go:build cluster && linux

package servertest

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// S3 is a running S3 server with one empty bucket. It wants path style addresses.
type S3 struct {
	*Server
	Endpoint  string // URL without a path, as http://127.0.0.1:1234
	Region    string
	Bucket    string
	AccessKey string
	SecretKey string
	// Dir is where the objects of the bucket lie, each a file under its key.
	Dir string
}

// StartS3 starts an S3 server over a temporary folder. Its file system must have extended attributes. TEST_VERSITYGW may name a script that starts another
// server by the same arguments, whose buckets are folders; TEST_S3_HEALTH is the path by which that one says that it is up.
func StartS3(t testing.TB) *S3 {
	t.Helper()
	const bucket = "weir-test"
	root := t.TempDir()
	res := &S3{Region: "us-east-1", Bucket: bucket, AccessKey: "test-access", SecretKey: "test-secret-key", Dir: filepath.Join(root, "data", bucket)}
	if err := os.MkdirAll(res.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	res.Server = run(t, "TEST_VERSITYGW", filepath.Join(root, "log"), 1, func(s *Server, ports []string) {
		address := "127.0.0.1:" + ports[0]
		res.Endpoint = "http://" + address
		s.health = res.Endpoint + cmp.Or(os.Getenv("TEST_S3_HEALTH"), "/health")
		s.env = []string{"ROOT_ACCESS_KEY=" + res.AccessKey, "ROOT_SECRET_KEY=" + res.SecretKey}
		s.args = []string{
			"--port", address, "--region", res.Region, "--health", "/health", "--quiet", "--keep-alive",
			"posix", filepath.Join(root, "data"),
		}
	})
	return res
}

// URL names the store of prefix in the server's bucket, as the setting for the object store takes it. Keys are not in it.
func (s *S3) URL(prefix string) string {
	return "s3://" + s.Bucket + "/" + prefix + "?endpoint=" + s.Endpoint + "&region=" + s.Region + "&path_style=true"
}

// StartEtcd starts an etcd of one member over a temporary folder and returns the URL for clients. More flags of etcd
// may be given; with --cert-file among them clients must use TLS, and the URL says so. It does not sync its files: they
// outlive its process, not the machine.
func StartEtcd(t testing.TB, flags ...string) (endpoint string, ctl *Server) {
	t.Helper()
	root := t.TempDir()
	scheme := "http://"
	for _, f := range flags {
		if strings.HasPrefix(f, "--cert-file") {
			scheme = "https://"
		}
	}
	ctl = run(t, "TEST_ETCD", filepath.Join(root, "log"), 3, func(s *Server, ports []string) {
		endpoint = scheme + "127.0.0.1:" + ports[0]
		peer := "http://127.0.0.1:" + ports[1]
		// Health is asked for apart from the clients' listener, which may want certificates.
		health := "http://127.0.0.1:" + ports[2]
		s.health = health + "/health"
		s.args = append([]string{
			"--name", "test", "--data-dir", filepath.Join(root, "data"), "--unsafe-no-fsync", "--log-level", "warn",
			"--listen-client-urls", endpoint, "--advertise-client-urls", endpoint, "--listen-metrics-urls", health,
			"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "test=" + peer,
		}, flags...)
	})
	return endpoint, ctl
}

// StartEtcdMembers starts an etcd of n members and returns their URLs for clients, and the members in the same order.
func StartEtcdMembers(t testing.TB, n int) (endpoints []string, members []*Server) {
	t.Helper()
	ports := freePorts(t, 3*n)
	var initial []string
	for i := range n {
		endpoints = append(endpoints, "http://127.0.0.1:"+ports[3*i])
		initial = append(initial, fmt.Sprintf("m%d=http://127.0.0.1:%s", i, ports[3*i+1]))
	}
	members = make([]*Server, n)
	var starting sync.WaitGroup
	for i := range n { // none of them works before most of them do
		starting.Go(func() {
			root := t.TempDir()
			members[i] = run(t, "TEST_ETCD", filepath.Join(root, "log"), 0, func(s *Server, _ []string) {
				_, peer, _ := strings.Cut(initial[i], "=")
				health := "http://127.0.0.1:" + ports[3*i+2]
				s.health = health + "/health"
				s.args = []string{
					"--name", fmt.Sprint("m", i), "--data-dir", filepath.Join(root, "data"), "--unsafe-no-fsync", "--log-level", "warn",
					"--listen-client-urls", endpoints[i], "--advertise-client-urls", endpoints[i], "--listen-metrics-urls", health,
					"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", strings.Join(initial, ","),
				}
			})
		})
	}
	starting.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return endpoints, members
}
