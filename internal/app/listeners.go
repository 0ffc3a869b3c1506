package app

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker/auth"
)

// Kafka's own settings for addresses. Weir's shorter ones say the same for one listener without security.
var (
	Listeners = config.List("listeners", nil, config.Unique, config.Check("NAME://host:port, …", checkListeners),
		config.DefaultFunc("PLAINTEXT:// and kafka.listen", func(v *config.Values) string { return plaintext + KafkaListen.Get(v) }),
		"Addresses on which Kafka clients are served, each with the name of its listener, in the place of kafka.listen. An empty host is every address of the machine.")
	AdvertisedListeners = config.List("advertised.listeners", nil, config.NoDefault, config.Unique, config.Check("NAME://host:port, …", checkListeners),
		"Addresses that the clients of each listener are told, in the place of kafka.advertise.")
	ProtocolMap = config.String("listener.security.protocol.map", "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT",
		config.Check("NAME:PROTOCOL, …", checkProtocolMap),
		"What each listener speaks: PLAINTEXT, SSL (TLS), SASL_PLAINTEXT (login) or SASL_SSL (both).")
	controllerNames = config.List("controller.listener.names", nil, config.NoDefault, config.Unique,
		"Names of listeners that Kafka has for its controllers. Weir has no controllers and does not listen there.")
)

const (
	kafkaListener = "PLAINTEXT"
	plaintext     = kafkaListener + "://"
)

// listenerSpec is what the settings say of one listener.
type listenerSpec struct {
	name           string
	tls, sasl      bool
	address        string
	advertisedHost string // "": what address turns out to be
	advertisedPort int32
}

func checkListeners(v any) error {
	list, _ := v.([]string)
	_, err := parseListeners(list)
	return err
}

// parseListeners splits NAME://host:port, keeping the order.
func parseListeners(list []string) ([]listenerSpec, error) {
	out := make([]listenerSpec, 0, len(list))
	for _, text := range list {
		name, address, ok := strings.Cut(text, "://")
		if !ok {
			return nil, fmt.Errorf("%q is not NAME://host:port", text)
		}
		name = strings.ToUpper(name)
		if name == "" || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
			return nil, fmt.Errorf("%q is no name of a listener: letters, digits, _ and -", name)
		}
		if name == auth.BrokerListener {
			return nil, fmt.Errorf("the name %s is reserved for the listener on which brokers speak to each other", name)
		}
		if slices.ContainsFunc(out, func(l listenerSpec) bool { return l.name == name }) {
			return nil, fmt.Errorf("listener %s is there twice", name)
		}
		if _, err := portOf(address); err != nil {
			return nil, err
		}
		out = append(out, listenerSpec{name: name, address: address})
	}
	return out, nil
}

func checkProtocolMap(v any) error {
	text, _ := v.(string)
	_, err := parseProtocolMap(text)
	return err
}

func parseProtocolMap(text string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		name, protocol, ok := strings.Cut(strings.TrimSpace(pair), ":")
		protocol = strings.ToUpper(strings.TrimSpace(protocol))
		if !ok || !slices.Contains([]string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}, protocol) {
			return nil, fmt.Errorf("%q is not NAME:PROTOCOL, where the protocol is PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL", pair)
		}
		out[strings.ToUpper(strings.TrimSpace(name))] = protocol
	}
	return out, nil
}

func portOf(address string) (uint16, error) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, fmt.Errorf("%q is not host:port", address)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q has no port number", address)
	}
	return uint16(n), nil
}

// Check tells what is wrong with settings that are right each for itself.
func Check(v *config.Values) error {
	_, err := listenersOf(v)
	return err
}

// errBoth is for two settings of one thing that contradict each other.
var errBoth = errors.New("give one of them")

// listenersOf reads the listeners in their order, from Kafka's settings or from Weir's.
func listenersOf(v *config.Values) ([]listenerSpec, error) {
	specs, err := specsOf(v, KafkaListen, Listeners)
	if err != nil {
		return nil, err
	}
	controllers := controllerNames.Get(v)
	specs = slices.DeleteFunc(specs, func(l listenerSpec) bool {
		return slices.ContainsFunc(controllers, func(c string) bool { return strings.EqualFold(c, l.name) })
	})
	if len(specs) == 0 {
		return nil, fmt.Errorf("setting %s: no listener for clients", Listeners.Name())
	}
	protocols, err := parseProtocolMap(ProtocolMap.Get(v))
	if err != nil {
		return nil, fmt.Errorf("setting %s: %w", ProtocolMap.Name(), err)
	}
	for i, l := range specs {
		p, ok := protocols[l.name]
		if !ok {
			return nil, fmt.Errorf("setting %s: it does not say what the listener %s speaks", ProtocolMap.Name(), l.name)
		}
		specs[i].tls, specs[i].sasl = strings.HasSuffix(p, "SSL"), strings.HasPrefix(p, "SASL")
	}
	return specs, advertise(v, specs)
}

// advertise fills in what clients are told.
func advertise(v *config.Values, specs []listenerSpec) error {
	told, err := specsOf(v, KafkaAdvertise, AdvertisedListeners)
	if err != nil {
		return err
	}
	setting := AdvertisedListeners.Name()
	if _, ok := v.Explicit(setting); !ok {
		setting = KafkaAdvertise.Name()
		if len(told) == 1 && len(specs) == 1 {
			told[0].name = specs[0].name // it says nothing of names
		}
	}
	for _, t := range told {
		i := slices.IndexFunc(specs, func(l listenerSpec) bool { return l.name == t.name })
		if i < 0 {
			if slices.ContainsFunc(controllerNames.Get(v), func(c string) bool { return strings.EqualFold(c, t.name) }) {
				continue
			}
			return fmt.Errorf("setting %s: there is no listener %s", setting, t.name)
		}
		port, err := portOf(t.address)
		if err != nil {
			return fmt.Errorf("setting %s: %w", setting, err)
		}
		host, _, err := net.SplitHostPort(t.address)
		if err != nil || host == "" || port == 0 {
			return fmt.Errorf("setting %s: %q cannot be connected to: it needs a host and a port", setting, t.address)
		}
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			return fmt.Errorf("setting %s: clients cannot connect to %s, which stands for every address", setting, host)
		}
		specs[i].advertisedHost, specs[i].advertisedPort = host, int32(port)
	}
	return nil
}

// specsOf reads Kafka's setting where it is given, else Weir's, which is about a listener without security.
func specsOf(v *config.Values, ours config.Key[string], kafkas config.Key[[]string]) ([]listenerSpec, error) {
	own, ownSet := ours.Get(v), false
	if _, ownSet = v.Explicit(ours.Name()); ownSet && own != "" {
		if _, err := portOf(own); err != nil {
			return nil, fmt.Errorf("setting %s: %w", ours.Name(), err)
		}
	}
	if _, ok := v.Explicit(kafkas.Name()); !ok {
		if own == "" {
			return nil, nil
		}
		return []listenerSpec{{name: kafkaListener, address: own}}, nil
	}
	specs, err := parseListeners(kafkas.Get(v))
	if err == nil && ownSet && (len(specs) != 1 || specs[0].address != own) {
		return nil, fmt.Errorf("settings %s and %s say different addresses: %w", ours.Name(), kafkas.Name(), errBoth)
	}
	return specs, err
}

// warnOfStrangers logs which addresses can be reached from other machines without proving who one is. proves tells of the
// addresses of Kafka's listeners whether clients have to.
func warnOfStrangers(logger *slog.Logger, addresses map[string]string, proves map[string]bool) {
	for _, name := range slices.Backward(slices.Sorted(maps.Keys(addresses))) {
		at, err := netip.ParseAddrPort(addresses[name])
		if proves[name] || err != nil || at.Addr().Unmap().IsLoopback() {
			continue
		}
		logger.Warn("other machines can connect, and nobody has to log in: keep the address inside a network that you trust", "listener", name, "address", addresses[name])
	}
}
