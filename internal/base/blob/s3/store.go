package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-stream/weir/internal/base/blob"
	"github.com/weir-stream/weir/internal/base/certstore"
)

const (
	connectLimit = 2 * time.Second
	idleLimit    = 50 * time.Second // services close after a minute
	maxCAFile    = 4 << 20
)

// Store is a blob.Store on one bucket. It is made by [Open]; Close ends it.
type Store struct {
	o         Options
	endpoint  *url.URL // of the bucket
	keyPrefix string   // empty, or ends in a slash
	client    *http.Client
	keys      *keyring
	metrics   *metrics
	retries   *budget
	hedges    *budget
	latency   latencies
	firstByte time.Duration // firstByteLimit, but in tests
	private   bool          // what is sent cannot be changed on its way
	crc       atomic.Bool   // bodies travel with a CRC-32C; set by Probe

	// parts are buffers of PartBytes that no writer has.
	parts sync.Pool // of *[]byte

	// background are the ends of requests that lost a race, and of uploads given up.
	background sync.WaitGroup
}

var _ blob.Store = (*Store)(nil)

// Open returns the store that o names. It reads the files with certificates and makes no request: whether the store can be reached and does
// what it must is for Probe to find out.
func Open(_ context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	endpoint, err := o.validate()
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(&o)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	s := &Store{
		o:        o,
		endpoint: endpoint,
		client: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // a signature holds for one host
		},
		keys:    newKeyring(&o),
		metrics: m,
		retries: newBudget(retryBurst, retryPerSecond),
		hedges:  newBudget(hedgeBurst, 0),

		firstByte: firstByteLimit,
		private:   private(endpoint),
	}
	if o.PathStyle {
		endpoint.Path = "/" + o.Bucket
	} else {
		endpoint.Host = o.Bucket + "." + endpoint.Host
	}
	if o.Prefix != "" {
		s.keyPrefix = o.Prefix + "/"
	}
	return s, nil
}

func newTransport(o *Options) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if o.CAFile != "" {
		info, err := os.Stat(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("object store: %w", err)
		}
		if info.Size() > maxCAFile {
			return nil, fmt.Errorf("object store: CA file %s has %d bytes, over %d", o.CAFile, info.Size(), maxCAFile)
		}
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("object store: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("object store: CA file %s holds no certificate in PEM", o.CAFile)
		}
	}
	if o.CertFile != "" {
		shown, err := certstore.NewShown("object store", o.CertFile, o.KeyFile, o.Log)
		if err != nil {
			return nil, err
		}
		config.GetClientCertificate = shown.Get
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true) // S3 speaks no other, and one connection for all requests would make each wait for all
	dialer := &net.Dialer{Timeout: connectLimit, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialBodies(dialer),
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    2 * connectLimit,
		Protocols:              &protocols,
		MaxConnsPerHost:        o.MaxConnections,
		MaxIdleConns:           o.MaxConnections,
		MaxIdleConnsPerHost:    o.MaxConnections,
		IdleConnTimeout:        idleLimit,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}, nil
}

// Close ends what runs in the background and drops idle connections. Nothing may be called after it; readers need not be
// closed before.
func (s *Store) Close() error {
	s.background.Wait()
	s.client.CloseIdleConnections()
	return nil
}

// String names the store, for messages.
func (s *Store) String() string { return "s3://" + s.o.Bucket + "/" + s.o.Prefix }

// check is what every operation on a key does first.
func (s *Store) check(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if n := len(s.keyPrefix) + len(key); n > blob.MaxKeyBytes {
		return fmt.Errorf("key of %d bytes with its prefix: %w", n, blob.ErrBadKey)
	}
	return nil
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := s.check(ctx, key); err != nil {
		return err
	}
	err := s.retry(ctx, opDelete, func() error {
		_, err := s.exchange(ctx, request{op: opDelete, method: http.MethodDelete, key: key})
		return err
	})
	if err != nil && absent(err) != blob.ErrNotFound { //nolint:errorlint // absent returns it unwrapped
		return fmt.Errorf("delete %s: %w", key, err)
	}
	return nil
}
