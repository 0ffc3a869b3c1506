package terms

import (
	"slices"
	"strings"
)

// Names of the configs of a topic that its terms are made of.
const (
	ModeConfig          = "weir.contract.mode"
	LevelConfig         = "weir.contract.level"
	KeyConfig           = "weir.contract.key"
	ValueConfig         = "weir.contract.value"
	KeyStrategyConfig   = "weir.contract.key.subject.name.strategy"
	ValueStrategyConfig = "weir.contract.value.subject.name.strategy"
	DeadLettersConfig   = "weir.contract.dlq.topic"

	// Those of Confluent's broker.
	ConfluentKeyConfig           = "confluent.key.schema.validation"
	ConfluentValueConfig         = "confluent.value.schema.validation"
	ConfluentKeyStrategyConfig   = "confluent.key.subject.name.strategy"
	ConfluentValueStrategyConfig = "confluent.value.subject.name.strategy"
)

// ConfluentStrategies are the classes that name Strategies, by number.
var ConfluentStrategies = []string{confluentPackage + "TopicNameStrategy", confluentPackage + "RecordNameStrategy", confluentPackage + "TopicRecordNameStrategy"}

const confluentPackage = "io.confluent.kafka.serializers.subject."

// OfConfigs reads the terms of a topic from its configs. get returns a config that is set; what is not set, or cannot be read, has
// its default: mode Off, level Rules, values alone, TopicName, and dead letters to the topic's name with .dlq. Confluent's switches
// count where no mode is set.
func OfConfigs(topic string, get func(name string) (string, bool)) Terms {
	word := func(name string, words []string, or int) int {
		text, _ := get(name)
		if i := slices.Index(words, strings.TrimSpace(text)); i >= 0 {
			return i
		}
		return or
	}
	truth := func(name string, or bool) bool {
		text, ok := get(name)
		if !ok {
			return or
		}
		return strings.EqualFold(strings.TrimSpace(text), "true")
	}
	t := Terms{
		Mode: Mode(word(ModeConfig, Modes, int(Off))), Level: Level(word(LevelConfig, Levels, int(Rules))), Key: truth(KeyConfig, false), Value: truth(ValueConfig, true),
		KeyStrategy: Strategy(word(KeyStrategyConfig, Strategies, 0)), ValueStrategy: Strategy(word(ValueStrategyConfig, Strategies, 0)),
	}
	key, value := truth(ConfluentKeyConfig, false), truth(ConfluentValueConfig, false)
	if _, set := get(ModeConfig); !set && (key || value) {
		t = Terms{
			Mode: Reject, Level: ID, Key: key, Value: value,
			KeyStrategy: Strategy(word(ConfluentKeyStrategyConfig, ConfluentStrategies, 0)), ValueStrategy: Strategy(word(ConfluentValueStrategyConfig, ConfluentStrategies, 0)),
		}
	}
	if t.DeadLetters, _ = get(DeadLettersConfig); t.DeadLetters == "" || t.DeadLetters == topic {
		t.DeadLetters = topic + ".dlq"
	}
	return t
}
