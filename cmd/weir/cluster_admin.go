package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/app"
	"github.com/weir-stream/weir/internal/cli/text"
)

// defaultAdmin is where a server's admin address is by default.
const defaultAdmin = "127.0.0.1:9644"

// adminFlags say where a broker's admin server is.
type adminFlags struct {
	address, data string
}

func (f *adminFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.address, "admin", "", "`host:port` of a broker's admin server (default "+defaultAdmin+", or WEIR_ADMIN)")
	cmd.Flags().StringVar(&f.data, "data", "", "`directory` of a broker on this machine, whose addresses are taken")
	_ = cmd.MarkFlagDirname("data") // the flag is there
}

// adminClient asks the admin server of one broker.
type adminClient struct {
	address string
	named   bool // somebody said that it is there
	http    *http.Client
}

// adminPatience bounds one question. A server asks its stores for at most three seconds.
const (
	adminPatience    = 15 * time.Second
	adminAnswerBytes = 16 << 20
)

// client returns one for the broker that the flags, or WEIR_ADMIN, name. With --data, Kafka is asked there too.
func (f *adminFlags) client(s *session) (*adminClient, error) {
	c := &adminClient{address: f.address, named: true, http: &http.Client{Timeout: adminPatience, Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: firstAnswer}).DialContext, DisableKeepAlives: true,
	}}}
	if f.data != "" {
		r, err := app.ReadRunFile(f.data)
		if err != nil {
			return nil, withFix(err, "name the data directory of a broker that runs on this machine, or its admin address with --admin host:port")
		}
		if c.address == "" {
			c.address = r.Addresses["admin"]
		}
		if s.bootstrap == "" {
			s.bootstrap = r.Addresses["kafka"]
		}
	}
	if c.address == "" {
		c.address = s.env(adminVariable)
	}
	if c.address == "" {
		c.address, c.named = defaultAdmin, false
	}
	return c, nil
}

// adminVariable names a broker's admin server.
const adminVariable = "WEIR_ADMIN"

// readiness is the answer of 'cluster health --self'.
type readiness struct {
	Ready bool   `json:"ready"`
	Admin string `json:"admin"`
}

var errNotReady = errors.New("the broker is not ready")

// printReady tells whether a broker is ready to serve.
func (s *session) printReady(ctx context.Context, c *adminClient) error {
	status, _, err := c.send(ctx, http.MethodGet, "/readyz")
	if err != nil {
		return err
	}
	r := readiness{status == http.StatusOK, c.address}
	if err := s.printDocument(r, func(w io.Writer, _ bool) error {
		_, err := fmt.Fprintf(w, "the broker at %s is %s\n", r.Admin, map[bool]string{true: "ready", false: "NOT READY"}[r.Ready])
		return err
	}); err != nil {
		return err
	}
	if !r.Ready {
		return errNotReady
	}
	return nil
}

// ask sends a request and decodes the answer into v, if that is not nil.
func (c *adminClient) ask(ctx context.Context, method, path string, v any) error {
	status, body, err := c.send(ctx, method, path)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &refusal) != nil || refusal.Error == "" {
			return withFix(fmt.Errorf("%s answers %s: %w", c.address, http.StatusText(status), errNoAdmin), "name the admin address of a Weir broker with --admin host:port")
		}
		return withFix(errors.New(text.Safe(refusal.Error)), "%s", adminFixes[status])
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return withFix(fmt.Errorf("%s answers what is not of an admin server: %w", c.address, err), "name the admin address of a Weir broker with --admin host:port")
	}
	return nil
}

// send sends a request and returns the status and the body of the answer.
func (c *adminClient) send(ctx context.Context, method, path string) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.address+path, http.NoBody)
	if err != nil {
		return 0, nil, usageErrorf("--admin %q is not host:port", c.address)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, withFix(fmt.Errorf("no admin server answers at %s: %w", c.address, errors.Unwrap(err)),
			"name the admin address of a broker with --admin host:port, or its data directory with --data DIR; the server logs it as admin=")
	}
	defer res.Body.Close() //nolint:errcheck // nothing is written through it
	body, err := io.ReadAll(io.LimitReader(res.Body, adminAnswerBytes))
	if err != nil {
		return 0, nil, fmt.Errorf("read the answer of %s: %w", c.address, err)
	}
	return res.StatusCode, body, nil
}

var errNoAdmin = errors.New("no admin server of this version")

// adminFixes names the way out of refusals.
var adminFixes = map[int]string{
	http.StatusForbidden:          "run this on the broker's machine, or in its container, with --admin 127.0.0.1:PORT",
	http.StatusNotFound:           "'weir cluster nodes' lists the brokers that are alive",
	http.StatusConflict:           "start another broker that can take the shards, or undo the drain of one: 'weir cluster nodes' lists them",
	http.StatusServiceUnavailable: "is the metadata store there? 'weir cluster health' tells; then try again",
}

// storage asks for the health of a cluster's storage. It returns nil where nobody named an admin server and none of this cluster answers at
// the default address.
func (c *adminClient) storage(ctx context.Context, clusterID string) (*app.ClusterHealth, error) {
	var h app.ClusterHealth
	err := c.ask(ctx, http.MethodGet, "/v1/cluster/health", &h)
	if ours, err := c.ours(err, h.ClusterID, clusterID); !ours {
		return nil, err
	}
	return &h, nil
}

// status asks which brokers a cluster has, as storage does for its health.
func (c *adminClient) status(ctx context.Context, clusterID string) (*app.ClusterStatus, error) {
	var st app.ClusterStatus
	err := c.ask(ctx, http.MethodGet, "/v1/cluster", &st)
	if ours, err := c.ours(err, st.ClusterID, clusterID); !ours {
		return nil, err
	}
	return &st, nil
}

// ours reports whether an answer is one of the cluster that is asked for. That it is not is an error only where somebody named the server.
func (c *adminClient) ours(err error, got, want string) (bool, error) {
	switch {
	case err == nil && got == want:
		return true, nil
	case !c.named:
		return false, nil
	case err != nil:
		return false, err
	}
	return false, withFix(fmt.Errorf("the admin server at %s belongs to cluster %s, the broker to %s", c.address, text.Safe(got), text.Safe(want)),
		"name both of one cluster with --admin and --bootstrap, or one data directory with --data")
}
