package topics

import (
	"errors"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

// The configs by which a topic asks for a contract. They are Weir's own, and those of Confluent's broker for the same end. Clients
// are told of them only where they are set or asked for by name: tools that carry the configs of a topic to another cluster would be
// refused there.
var (
	contractMode = config.String(terms.ModeConfig, "off", config.OneOf(terms.Modes...),
		"What becomes of records that break the contract of the topic, which is what the Schema Registry holds for its subjects: off does not look, observe counts, mark adds headers that say what is wrong, dlq writes them to another topic instead, reject refuses their batch.")
	contractLevel = config.String(terms.LevelConfig, "rules", config.OneOf(terms.Levels...),
		"How far the contract looks: id asks that the schema's id is known and belongs to the subject, schema also that the bytes can be read by it, rules also that the conditions of its rule set hold.")
	contractKey           = config.Bool(terms.KeyConfig, false, "Whether the contract is about keys.")
	contractValue         = config.Bool(terms.ValueConfig, true, "Whether the contract is about values.")
	contractKeyStrategy   = config.String(terms.KeyStrategyConfig, "TopicName", config.OneOf(terms.Strategies...), "Which subject the schemas of keys must belong to: that of the topic (TopicName), of the record (RecordName), or of both (TopicRecordName).")
	contractValueStrategy = config.String(terms.ValueStrategyConfig, "TopicName", config.OneOf(terms.Strategies...), "Which subject the schemas of values must belong to: that of the topic (TopicName), of the record (RecordName), or of both (TopicRecordName).")
	contractDeadLetters   = config.String(terms.DeadLettersConfig, "", deadLetterTopic,
		"The topic that mode dlq writes to; none is the topic's name with .dlq. It is created when it is first needed. To set it one must be allowed to write to it.")

	confluentKey           = config.Bool(terms.ConfluentKeyConfig, false, "Confluent's name for weir.contract.mode=reject with level id, for keys. Has no effect where weir.contract.mode is set.")
	confluentValue         = config.Bool(terms.ConfluentValueConfig, false, "Confluent's name for weir.contract.mode=reject with level id, for values. Has no effect where weir.contract.mode is set.")
	confluentKeyStrategy   = config.String(terms.ConfluentKeyStrategyConfig, terms.ConfluentStrategies[0], confluentStrategy, "Confluent's name for weir.contract.key.subject.name.strategy, for confluent.key.schema.validation.")
	confluentValueStrategy = config.String(terms.ConfluentValueStrategyConfig, terms.ConfluentStrategies[0], confluentStrategy, "Confluent's name for weir.contract.value.subject.name.strategy, for confluent.value.schema.validation.")
)

var (
	confluentStrategy = config.OneOf(terms.ConfluentStrategies...)
	deadLetterTopic   = config.Check("name of a topic", func(v any) error {
		s, _ := v.(string)
		switch {
		case s == "":
			return nil
		case kafka.ValidateTopicName(s) != nil:
			return errors.New("it is no name of a topic")
		case exempt(s):
			return errors.New("nobody writes to an internal topic by hand")
		}
		return nil
	})
)

// exempt says whether a topic has no contract and is none for dead letters: those of the broker, and that of the registry, which
// would wait for itself.
func exempt(topic string) bool {
	return kafka.IsInternalTopic(topic) || topic == auditevent.Topic || topic == "_schemas"
}

// contractConfigs are the configs above, in the order in which they are checked.
func contractConfigs() []topicConfig {
	var out []topicConfig
	for _, d := range []config.Declared{
		contractMode, contractLevel, contractKey, contractValue, contractKeyStrategy, contractValueStrategy, contractDeadLetters,
		confluentKey, confluentValue, confluentKeyStrategy, confluentValueStrategy,
	} {
		out = append(out, topicConfig{setting: d.Setting(), own: true})
	}
	return out
}

// termsOf is what the configs of a topic ask of its records; nil for nothing.
func termsOf(topic string, parsed *config.Values) *terms.Terms {
	if exempt(topic) {
		return nil
	}
	t := terms.OfConfigs(topic, func(name string) (string, bool) {
		if _, set := parsed.Explicit(name); !set {
			return "", false
		}
		text, _, ok := parsed.Text(name)
		return text, ok
	})
	if t.Mode == terms.Off || !t.Key && !t.Value {
		return nil
	}
	return &t
}
