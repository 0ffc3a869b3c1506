package gate

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
)

// Settings of all platform services. TLS is set as for a listener of Kafka: listener.name.SERVICE.ssl.keystore.location and so on.
var (
	Authentication = config.String("http.authentication", "auto", config.OneOf("auto", "required", "none"), config.Common,
		"Whether callers of the HTTP services must show who they are, by user and password, token or certificate. auto: if every listener for Kafka's clients wants that, too; what is shown is checked in any case. none: nothing is asked and nothing is looked at.")
	Origins = config.List("http.cors.origins", nil, config.Unique, config.Check("scheme://host[:port], or *", checkOrigins),
		"Origins of web pages that may use the HTTP services (CORS); * is all of them. Empty: none.")
	Hosts = config.List("http.hosts", nil, config.Unique,
		"Names, beside localhost, by which callers who show nothing may call HTTP services that listen on a loopback address: those that a proxy on this machine passes on, say. Other names are refused, as any web page could make its own name mean this machine.")
	RequestBytes = config.Long("http.request.max.bytes", 10<<20, config.AtLeast(int64(1024)),
		"Largest body of a request to an HTTP service, also after it is unpacked.")
	BasicMechanism = config.String("http.basic.mechanism", "PLAIN", config.OneOf("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
		"SASL mechanism by which a service without a broker in its process passes a caller's user and password on to the Kafka cluster.")
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return []config.Declared{Authentication, Origins, Hosts, RequestBytes, BasicMechanism}
}

func checkOrigins(v any) error {
	list, _ := v.([]string)
	for _, text := range list {
		if text == "*" {
			continue
		}
		if u, err := url.Parse(text); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			return fmt.Errorf("%q is no origin: scheme://host[:port], or *", text)
		}
	}
	return nil
}

// ParseAddress splits the setting of a listener: host:port, or with http:// or https:// before it.
func ParseAddress(text string) (address string, secure bool, err error) {
	address, secure = strings.TrimPrefix(text, "http://"), false
	if rest, ok := strings.CutPrefix(text, "https://"); ok {
		address, secure = rest, true
	}
	address = strings.TrimSuffix(address, "/")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", false, fmt.Errorf("%q is not host:port, http://host:port or https://host:port", text)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", false, fmt.Errorf("%q has no port number", text)
	}
	return address, secure, nil
}

// CheckAddress is ParseAddress as a check of a setting.
func CheckAddress(v any) error {
	text, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	_, _, err := ParseAddress(text)
	return err
}
