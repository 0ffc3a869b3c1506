package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/cli/text"
)

// quotaKind is a quota as the command line names and measures it.
type quotaKind struct {
	name, key string
	unit      string // "B/s", "%" or "/s"
	example   string
}

// connectionQuota is the one that addresses have.
const connectionQuota = "connection_creation_rate"

// quotaKinds in the order in which they are shown.
var quotaKinds = []quotaKind{
	{"produce", "producer_byte_rate", "B/s", "10MiB/s"},
	{"consume", "consumer_byte_rate", "B/s", "10MiB/s"},
	{"request", "request_percentage", "%", "50%"},
	{"mutation", "controller_mutation_rate", "/s", "10/s"},
	{"connection", connectionQuota, "/s", "20/s"},
}

func kindOf(key string) (quotaKind, bool) {
	i := slices.IndexFunc(quotaKinds, func(k quotaKind) bool { return k.key == key })
	if i < 0 {
		return quotaKind{}, false
	}
	return quotaKinds[i], true
}

// quotaKey is Kafka's name of a quota, by its name or Kafka's own.
func quotaKey(name string) (string, error) {
	var names []string
	for _, k := range quotaKinds {
		if name == k.name || name == k.key {
			return k.key, nil
		}
		names = append(names, k.name)
	}
	return "", usageErrorf("there is no quota %q: use %s", name, strings.Join(names, ", "))
}

// quotaName is the name of a quota for people; one that is not known here keeps its own.
func quotaName(key string) string {
	if k, ok := kindOf(key); ok {
		return k.name
	}
	return key
}

func quotaOrder(key string) int {
	i := slices.IndexFunc(quotaKinds, func(k quotaKind) bool { return k.key == key })
	if i < 0 {
		return len(quotaKinds)
	}
	return i
}

// byteUnits by what is written behind a number, in any case.
var byteUnits = map[string]float64{
	"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12,
	"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40, "pib": 1 << 50, "eib": 1 << 60,
}

// parseQuota reads a value in the unit of its quota: 10MiB/s, 500KB/s, 1048576, 50%, 20/s. It is greater than 0, and for
// rates of bytes whole, as brokers ask. key is one that quotaKey returned.
func parseQuota(key, value string) (float64, error) {
	k, _ := kindOf(key)
	wrong := usageErrorf("%s=%s: write it like %s=%s", k.name, value, k.name, k.example)
	number := strings.ToLower(strings.TrimSpace(value))
	scale, ok := 1.0, true
	switch k.unit {
	case "B/s":
		number = strings.TrimSpace(strings.TrimSuffix(number, "/s"))
		end := strings.LastIndexAny(number, "0123456789.") + 1
		scale, ok = byteUnits[strings.TrimSpace(number[end:])]
		number = number[:end]
	case "%":
		number = strings.TrimSuffix(number, "%")
	case "/s":
		number = strings.TrimSuffix(number, "/s")
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !ok || !(n*scale > 0) || math.IsInf(n*scale, 0) {
		return 0, wrong
	}
	if k.unit == "B/s" {
		return max(math.Round(n*scale), 1), nil
	}
	return n, nil
}

// formatQuota writes a value with its unit.
func formatQuota(key string, value float64) string {
	k, _ := kindOf(key)
	plain := strconv.FormatFloat(value, 'f', -1, 64)
	if k.unit == "B/s" && value < math.MaxInt64 {
		return text.Bytes(int64(value)) + "/s"
	}
	return plain + k.unit
}
