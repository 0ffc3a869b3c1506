package certstore

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"sync"

	"github.com/weir-stream/weir/internal/base/secret"
)

// Shown is a certificate that a client shows to the servers of another service. Certificate and key are PEM files, which
// are read anew for each connection, so that they can be renewed in place. While they cannot be read, as when one of the
// two has been replaced and the other not yet, the pair that was read last is shown. Its methods may be called together.
type Shown struct {
	certFile, keyFile string
	service           string
	log               *slog.Logger

	mu      sync.Mutex
	last    *tls.Certificate
	trouble string // why the files could not be read when they were read last; empty if they could
}

// NewShown reads both files. service says in messages whom the certificate is for, which name the parameters cert_file and
// key_file and the files, never what is in them. log, which may be nil, is told once when renewed files cannot be read.
func NewShown(service, certFile, keyFile string, log *slog.Logger) (*Shown, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Shown{certFile: certFile, keyFile: keyFile, service: service, log: log}
	pair, err := s.read()
	if err != nil {
		return nil, err
	}
	s.last = &pair
	return s, nil
}

// Get is for tls.Config.GetClientCertificate. It never fails, and the certificate must not be changed.
func (s *Shown) Get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := s.read()
	s.mu.Lock()
	told := s.trouble
	if err != nil {
		s.trouble = err.Error()
	} else {
		s.last, s.trouble = &pair, ""
	}
	last := s.last
	s.mu.Unlock()
	if err != nil && told != err.Error() {
		s.log.Warn("renewed certificate cannot be read, the one before is shown", "err", err)
	}
	return last, nil
}

func (s *Shown) read() (tls.Certificate, error) {
	var texts [2]secret.Text
	for i, file := range []struct{ parameter, name string }{{"cert_file", s.certFile}, {"key_file", s.keyFile}} {
		text, err := Store{Type: "PEM", Location: file.name}.read()
		if err != nil {
			return tls.Certificate{}, fmt.Errorf("%s of %s: %w", file.parameter, s.service, err)
		}
		texts[i] = secret.New(string(text))
	}
	pair, err := Store{Type: "PEM", Chain: texts[0], Key: texts[1]}.KeyPair()
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cert_file %s and key_file %s of %s: %w", s.certFile, s.keyFile, s.service, err)
	}
	return pair, nil
}
