package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/broker"
)

// Kafka's own settings for addresses. Weir has one listener for Kafka clients; its shorter settings say the same.
var (
	Listeners = config.List("listeners", nil, config.Unique, config.Check("one PLAINTEXT://host:port", checkListeners),
		config.DefaultFunc("PLAINTEXT:// and kafka.listen", func(v *config.Values) string { return plaintext + KafkaListen.Get(v) }),
		"Kafka's setting for the address to listen on, in the place of kafka.listen. An empty host is every address of the machine.")
	AdvertisedListeners = config.List("advertised.listeners", nil, config.NoDefault, config.Unique, config.Check("one PLAINTEXT://host:port", checkListeners),
		"Kafka's setting for the address that clients are told, in the place of kafka.advertise.")
)

const (
	kafkaListener = "PLAINTEXT"
	plaintext     = kafkaListener + "://"
)

func checkListeners(v any) error {
	list, _ := v.([]string)
	_, err := listenerAddress(list)
	return err
}

// listenerAddress takes the address out of Kafka's list of listeners.
func listenerAddress(list []string) (string, error) {
	if len(list) != 1 {
		return "", fmt.Errorf("%d listeners, and Weir has one for Kafka clients; kafka.listen and kafka.advertise set its addresses", len(list))
	}
	name, address, ok := strings.Cut(list[0], "://")
	if !ok {
		return "", fmt.Errorf("%q is not PLAINTEXT://host:port", list[0])
	}
	if !strings.EqualFold(name, kafkaListener) {
		return "", fmt.Errorf("listener %s is not served: the one listener is PLAINTEXT; kafka.listen and kafka.advertise set its addresses", name)
	}
	if _, err := portOf(address); err != nil {
		return "", err
	}
	return address, nil
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
	_, err := kafkaListenerOf(v)
	return err
}

// kafkaListenerOf reads the address to listen on and the one to advertise, each from Weir's setting or from Kafka's.
func kafkaListenerOf(v *config.Values) (broker.Listener, error) {
	l := broker.Listener{Name: kafkaListener}
	var err error
	if l.Address, err = addressOf(v, KafkaListen, Listeners); err != nil {
		return l, err
	}
	if _, err := portOf(l.Address); err != nil {
		return l, fmt.Errorf("setting %s: %w", KafkaListen.Name(), err)
	}
	advertised, err := addressOf(v, KafkaAdvertise, AdvertisedListeners)
	if err != nil || advertised == "" {
		return l, err
	}
	port, err := portOf(advertised)
	if err != nil {
		return l, fmt.Errorf("setting %s: %w", KafkaAdvertise.Name(), err)
	}
	host, _, err := net.SplitHostPort(advertised)
	if err != nil || host == "" || port == 0 {
		return l, fmt.Errorf("setting %s: %q cannot be connected to: it needs a host and a port", KafkaAdvertise.Name(), advertised)
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return l, fmt.Errorf("setting %s: clients cannot connect to %s, which stands for every address", KafkaAdvertise.Name(), host)
	}
	l.AdvertisedHost, l.AdvertisedPort = host, int32(port)
	return l, nil
}

// errBoth is for two settings of one thing that contradict each other.
var errBoth = errors.New("give one of them")

func addressOf(v *config.Values, ours config.Key[string], kafkas config.Key[[]string]) (string, error) {
	if _, ok := v.Explicit(kafkas.Name()); !ok {
		return ours.Get(v), nil
	}
	address, err := listenerAddress(kafkas.Get(v))
	if _, ok := v.Explicit(ours.Name()); ok && err == nil && address != ours.Get(v) {
		return "", fmt.Errorf("settings %s and %s say different addresses: %w", ours.Name(), kafkas.Name(), errBoth)
	}
	return address, err
}

// warnOfStrangers logs which addresses can be reached from other machines, since nobody has to log in.
func warnOfStrangers(logger *slog.Logger, addresses map[string]string) {
	for _, name := range []string{"kafka", "admin"} {
		at, err := netip.ParseAddrPort(addresses[name])
		if err != nil || at.Addr().Unmap().IsLoopback() {
			continue
		}
		logger.Warn("other machines can connect, and nobody has to log in: keep the address inside a network that you trust", "listener", name, "address", addresses[name])
	}
}
