package topics

import (
	_ "embed" // the list of Kafka's settings
	"fmt"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
)

//go:embed kafka_settings.txt
var kafkaSettings string

const inertDoc = "A setting of Kafka that Weir accepts, checks and reports, and that has no effect here."

// Known are all broker settings of Kafka 4.3, as inert ones. A schema takes them by WithKnown, so that what acts in Weir
// is described by the declaration of the code that reads it, and the rest is still accepted and reported.
func Known() []config.Declared {
	out := make([]config.Declared, 0, 350)
	for line := range strings.Lines(kafkaSettings) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 5 {
			panic("topics: broken line in the list of settings: " + line)
		}
		out = append(out, declareKnown(f[0], f[1], f[2], f[3], f[4]))
	}
	return out
}

func declareKnown(name, kind, def, check, mode string) config.Declared {
	opts := []any{config.Option(config.Inert), inertDoc}
	switch mode {
	case "broker":
		opts = append(opts, config.Option(config.PerBroker))
	case "cluster":
		opts = append(opts, config.Option(config.Dynamic))
	case "cluster!":
		opts = append(opts, config.Option(config.Dynamic), config.Option(config.Internal))
	}
	if def == "null" {
		opts = append(opts, config.Option(config.NoDefault))
		def = map[string]string{"BOOLEAN": "false", "INT": "0", "SHORT": "0", "LONG": "0", "DOUBLE": "0"}[kind]
	}
	if def == `""` {
		def = ""
	}
	if o := knownCheck(check); o != nil {
		opts = append(opts, o)
	}
	switch kind {
	case "BOOLEAN":
		return config.Bool(name, def == "true", opts...)
	case "INT":
		return config.Int(name, int(wholeNumber(def)), opts...)
	case "SHORT":
		return config.Short(name, int(wholeNumber(def)), opts...)
	case "LONG":
		return config.Long(name, wholeNumber(def), opts...)
	case "DOUBLE":
		f, err := strconv.ParseFloat(def, 64)
		if err != nil {
			panic(fmt.Sprintf("topics: default of %s: %v", name, err))
		}
		return config.Double(name, f, opts...)
	case "LIST":
		if def == "" {
			return config.List(name, nil, opts...)
		}
		return config.List(name, strings.Split(def, ","), opts...)
	case "CLASS":
		return config.Class(name, def, opts...)
	case "PASSWORD":
		return config.Password(name, opts...)
	}
	return config.String(name, def, opts...)
}

func knownCheck(check string) config.Option {
	words := func(s string) []string { return strings.Split(strings.Trim(s, "{}"), "|") }
	switch {
	case check == "-":
		return nil
	case check == "unique":
		return config.Unique
	case check == "nonempty":
		return config.NonEmpty
	case check == "gziplevel":
		return gzipLevels
	case strings.HasPrefix(check, "fold{"):
		return config.OneOfFold(words(strings.TrimPrefix(check, "fold"))...)
	case strings.HasPrefix(check, "{"):
		return config.OneOf(words(check)...)
	}
	low, high, _ := strings.Cut(check, "..")
	if high == "" {
		return config.AtLeast(wholeNumber(low))
	}
	return config.Range(wholeNumber(low), wholeNumber(high))
}

func wholeNumber(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		panic("topics: broken number in the list of settings: " + err.Error())
	}
	return n
}
