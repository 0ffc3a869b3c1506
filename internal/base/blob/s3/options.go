package s3

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	defaultRegion         = "us-east-1"
	defaultPartBytes      = 32 << 20 // each part is a request that is paid for
	minPartBytes          = 5 << 20  // S3 takes no smaller part but the last
	maxPartBytes          = 256 << 20
	defaultPartsInFlight  = 2
	defaultMaxConnections = 128
	defaultRetryFor       = 30 * time.Second
	maxPrefixBytes        = 256
)

// Options says where the objects are and how they are reached.
type Options struct {
	// Bucket must exist.
	Bucket string
	// Prefix goes before every key, with a slash between. Empty: the bucket belongs to this store alone.
	Prefix string
	// Endpoint is the URL of the service, http or https, without a path. Empty: Amazon's for the region.
	Endpoint string
	// Region signs the requests. Default: AWS_REGION, AWS_DEFAULT_REGION, then us-east-1.
	Region string
	// PathStyle puts the bucket into the path and not into the host name.
	PathStyle bool
	// CredentialsFile is a file as AWS' tools write it ([default], aws_access_key_id, ...); the only place then where
	// keys are looked for. Empty: environment, shared files, then the role of the container or machine.
	CredentialsFile string
	// Profile is the section of the credentials files. Default: AWS_PROFILE, then default.
	Profile string
	// CAFile holds PEM certificates that are trusted in place of the system's.
	CAFile string
	// CertFile and KeyFile, in PEM, are shown to the service. They are read again for every connection.
	CertFile, KeyFile string

	// PartBytes is the size of the parts of a streamed object; one up to this size is written with one request. Default
	// 32 MiB, from 5 to 256 MiB.
	PartBytes int
	// PartsInFlight is how many parts of one object are uploaded at a time. A Writer holds at most one buffer of
	// PartBytes more. Default 2.
	PartsInFlight int
	// MaxConnections to the service. Requests above wait for one. Default 128.
	MaxConnections int
	// RetryFor is how long after its start an operation may begin another try. Default 30 s.
	RetryFor time.Duration

	// Registerer takes the metrics. Nil: nobody measures.
	Registerer prometheus.Registerer
	// Log is told of what healed by itself. Nil: nobody.
	Log *slog.Logger
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-zA-Z0-9-]{1,64}$`)
	prefixName = regexp.MustCompile(`^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$`)
)

func (o Options) withDefaults() Options {
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if o.Region == "" {
			o.Region = os.Getenv(name)
		}
	}
	if o.Region == "" {
		o.Region = defaultRegion
	}
	if o.Endpoint == "" {
		o.Endpoint = "https://s3." + o.Region + ".amazonaws.com"
		if strings.HasPrefix(o.Region, "cn-") {
			o.Endpoint += ".cn"
		}
	}
	if strings.Contains(o.Bucket, ".") {
		o.PathStyle = true // a certificate for *.s3... does not cover a name with more dots
	}
	if o.PartBytes == 0 {
		o.PartBytes = defaultPartBytes
	}
	if o.PartsInFlight == 0 {
		o.PartsInFlight = defaultPartsInFlight
	}
	if o.MaxConnections == 0 {
		o.MaxConnections = defaultMaxConnections
	}
	if o.RetryFor == 0 {
		o.RetryFor = defaultRetryFor
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// validate returns the endpoint.
func (o *Options) validate() (*url.URL, error) {
	if !bucketName.MatchString(o.Bucket) || strings.Contains(o.Bucket, "..") {
		return nil, fmt.Errorf("object store: %q is no name of a bucket (3 to 63 of a-z, 0-9, dot and hyphen)", o.Bucket)
	}
	if o.Prefix != "" && (len(o.Prefix) > maxPrefixBytes || !prefixName.MatchString(o.Prefix)) {
		return nil, fmt.Errorf("object store: prefix %q has something else than A-Z, a-z, 0-9, dot, underscore and hyphen between single slashes, or over %d bytes", o.Prefix, maxPrefixBytes)
	}
	if !regionName.MatchString(o.Region) {
		return nil, fmt.Errorf("object store: %q is no region", o.Region)
	}
	if o.PartBytes < minPartBytes || o.PartBytes > maxPartBytes || o.PartsInFlight < 1 || o.MaxConnections < 1 || o.RetryFor < 0 {
		return nil, errors.New("object store: part size, parts in flight, connections or time for retries out of range")
	}
	u, err := url.Parse(o.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("object store: endpoint must be http://HOST[:PORT] or https://HOST[:PORT]") // not shown: it may hold a password
	}
	if u.User != nil {
		return nil, noSecrets("the endpoint")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("object store: endpoint %s://%s has a path or query; only host and port belong there", u.Scheme, u.Host)
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return nil, errors.New("object store: cert_file and key_file go together")
	}
	if o.CertFile != "" && u.Scheme != "https" {
		return nil, fmt.Errorf("object store: cert_file and key_file are for https, and the endpoint is %s://%s", u.Scheme, u.Host)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// noSecrets is the answer to keys in a URL: command lines, logs and process lists would show them.
func noSecrets(where string) error {
	return fmt.Errorf("object store: %s holds a user, password or key: take it out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY "+
		"in the environment, or write them to a file that ?credentials_file= names, or give the machine a role", where)
}

// ParseURL reads s3://BUCKET/PREFIX?endpoint=URL&region=R&path_style=BOOL&credentials_file=FILE&profile=P&ca_file=FILE&cert_file=FILE&key_file=FILE, of
// which all after the bucket may be left out. With an endpoint path style is the default, without one it is not. Nothing
// but the URL is looked at. Errors do not repeat what may be a secret.
func ParseURL(text string) (Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return Options{}, errors.New("object store: the URL cannot be parsed; write s3://BUCKET/PREFIX?endpoint=URL&region=REGION")
	}
	if u.Scheme != "s3" {
		return Options{}, fmt.Errorf("object store: scheme %q; write s3://BUCKET/PREFIX", u.Scheme)
	}
	if u.User != nil {
		return Options{}, noSecrets("the URL")
	}
	if u.Fragment != "" || u.Opaque != "" {
		return Options{}, errors.New("object store: the URL must be s3://BUCKET/PREFIX?NAME=VALUE")
	}
	o := Options{Bucket: u.Host, Prefix: strings.Trim(u.Path, "/")}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Options{}, errors.New("object store: what follows the ? in the URL cannot be parsed")
	}
	if err := o.fromQuery(query); err != nil {
		return Options{}, err
	}
	filled := o.withDefaults()
	if _, err := filled.validate(); err != nil {
		return Options{}, err
	}
	return o, nil
}

func (o *Options) fromQuery(query url.Values) error {
	for name, values := range query {
		if len(values) != 1 {
			return fmt.Errorf("object store: %s is given %d times", name, len(values))
		}
		v := values[0]
		switch name {
		case "endpoint":
			o.Endpoint = v
		case "region":
			o.Region = v
		case "credentials_file":
			o.CredentialsFile = v
		case "profile":
			o.Profile = v
		case "ca_file":
			o.CAFile = v
		case "cert_file":
			o.CertFile = v
		case "key_file":
			o.KeyFile = v
		case "path_style":
		default:
			lower := strings.ToLower(name)
			for _, part := range []string{"secret", "key", "token", "password"} {
				if strings.Contains(lower, part) {
					return noSecrets("the URL")
				}
			}
			return fmt.Errorf("object store: unknown parameter %q; there are endpoint, region, path_style, credentials_file, profile, ca_file, cert_file and key_file", name)
		}
	}
	o.PathStyle = o.Endpoint != ""
	if v := query.Get("path_style"); v != "" {
		style, err := strconv.ParseBool(v)
		if err != nil {
			return fmt.Errorf("object store: path_style=%q, want true or false", v)
		}
		o.PathStyle = style
	}
	return nil
}
