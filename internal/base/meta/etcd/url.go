package etcd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Scheme is that of the URLs which name a store of this package.
const Scheme = "etcd"

const (
	defaultPort   = "2379"
	defaultPrefix = "weir"
	// maxPrefixBytes leaves room for a key in what etcd takes.
	maxPrefixBytes = 256
	maxEndpoints   = 32
)

// Location says where an etcd is and what of it belongs to the cluster. It holds no secrets.
type Location struct {
	// Endpoints are the clients' addresses of the members, as host:port.
	Endpoints []string
	// Prefix is what every key begins with, without the slash after it.
	Prefix string
	// TLS asks for an encrypted connection; certificates imply it.
	TLS bool
	// CAFile holds the certificates, in PEM, that the members' must be signed by; "" trusts what the system trusts.
	CAFile string
	// CertFile and KeyFile, in PEM, are shown to the members. They are read again for every connection.
	CertFile, KeyFile string
	// CredentialsFile has the lines username=... and password=....
	CredentialsFile string
}

// ParseURL reads "etcd://host:port,host:port/prefix?tls=true&ca_file=&cert_file=&key_file=&credentials_file=". A port that is
// missing is 2379, a prefix that is missing is "weir". Passwords have no place in a URL, which shows up in process lists,
// and are refused.
func ParseURL(text string) (Location, error) {
	rest, ok := strings.CutPrefix(text, Scheme+"://")
	if !ok {
		return Location{}, fmt.Errorf("the address of etcd must begin with %s://", Scheme)
	}
	hosts, path, query := rest, "", ""
	if i := strings.IndexByte(hosts, '?'); i >= 0 {
		hosts, query = hosts[:i], hosts[i+1:]
	}
	if i := strings.IndexByte(hosts, '/'); i >= 0 {
		hosts, path = hosts[:i], hosts[i+1:]
	}
	if strings.ContainsRune(rest, '@') && strings.ContainsRune(hosts, '@') {
		return Location{}, errors.New("no user or password may stand in the address of etcd: set " + UsernameVariable + " and " +
			PasswordVariable + ", or credentials_file")
	}
	var l Location
	for host := range strings.SplitSeq(hosts, ",") {
		endpoint, err := parseEndpoint(host)
		if err != nil {
			return Location{}, err
		}
		if !slices.Contains(l.Endpoints, endpoint) {
			l.Endpoints = append(l.Endpoints, endpoint)
		}
	}
	if len(l.Endpoints) > maxEndpoints {
		return Location{}, fmt.Errorf("%d addresses of etcd, the most are %d", len(l.Endpoints), maxEndpoints)
	}
	prefix, err := url.PathUnescape(strings.Trim(path, "/"))
	if err != nil {
		return Location{}, errors.New("the prefix in the address of etcd is not escaped well")
	}
	if l.Prefix = prefix; prefix == "" {
		l.Prefix = defaultPrefix
	}
	if err := l.parseQuery(query); err != nil {
		return Location{}, err
	}
	return l, l.validate()
}

func parseEndpoint(text string) (string, error) {
	host, port := text, defaultPort
	if h, p, err := net.SplitHostPort(text); err == nil {
		host, port = h, p
	} else if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		host = text[1 : len(text)-1]
	} else if strings.ContainsRune(text, ':') {
		return "", fmt.Errorf("%q is no address of etcd", text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if host == "" || err != nil || n == 0 || strings.ContainsAny(host, "[]#% \t") {
		return "", fmt.Errorf("%q is no address of etcd", text)
	}
	return net.JoinHostPort(host, port), nil
}

func (l *Location) parseQuery(query string) error {
	values, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("the options in the address of etcd are not escaped well")
	}
	texts := map[string]*string{"ca_file": &l.CAFile, "cert_file": &l.CertFile, "key_file": &l.KeyFile, "credentials_file": &l.CredentialsFile}
	for name, v := range values {
		field, known := texts[name]
		switch {
		case len(v) != 1:
			return fmt.Errorf("the address of etcd has option %s twice", name)
		case known:
			*field = v[0]
		case name == "tls":
			if l.TLS, err = strconv.ParseBool(v[0]); err != nil {
				return errors.New("tls in the address of etcd must be true or false")
			}
			if !l.TLS && (values.Has("ca_file") || values.Has("cert_file")) {
				return errors.New("the address of etcd has certificates and tls=false")
			}
		case name == "username" || name == "user" || name == "password":
			return fmt.Errorf("no %s may stand in the address of etcd: set %s and %s, or credentials_file", name, UsernameVariable, PasswordVariable)
		default:
			return fmt.Errorf("the address of etcd has an unknown option %q", name)
		}
	}
	l.TLS = l.TLS || l.CAFile != "" || l.CertFile != ""
	return nil
}

// validate refuses what cannot work.
func (l Location) validate() error {
	switch {
	case len(l.Endpoints) == 0:
		return errors.New("no address of etcd")
	case l.Prefix == "" || len(l.Prefix) > maxPrefixBytes || strings.HasSuffix(l.Prefix, "/"):
		return fmt.Errorf("the prefix in etcd must have 1 to %d bytes and no slash at its end", maxPrefixBytes)
	case (l.CertFile == "") != (l.KeyFile == ""):
		return errors.New("cert_file and key_file of etcd go together")
	}
	return nil
}

// String is the location as a URL, without what it says of files.
func (l Location) String() string {
	return Scheme + "://" + strings.Join(l.Endpoints, ",") + "/" + (&url.URL{Path: l.Prefix}).EscapedPath()
}
