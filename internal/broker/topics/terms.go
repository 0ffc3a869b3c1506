package topics

import (
	"errors"
	"slices"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/auditevent"
	"github.com/weir-stream/weir/internal/kafka/terms"
)

// The configs by which a topic asks for a contract. They are Weir's own, and those of Confluent's broker for the same end. Clients
// are told of them only where they are set or asked for by name: tools that carry the configs of a topic to another cluster would be
// refused there.
var (
	contractMode = config.String("weir.contract.mode", "off", config.OneOf(terms.Modes...),
		"What becomes of records that break the contract of the topic, which is what the Schema Registry holds for its subjects: off does not look, observe counts, mark adds headers that say what is wrong, dlq writes them to another topic instead, reject refuses their batch.")
	contractLevel = config.String("weir.contract.level", "rules", config.OneOf(terms.Levels...),
		"How far the contract looks: id asks that the schema's id is known and belongs to the subject, schema also that the bytes can be read by it, rules also that the conditions of its rule set hold.")
	contractKey           = config.Bool("weir.contract.key", false, "Whether the contract is about keys.")
	contractValue         = config.Bool("weir.contract.value", true, "Whether the contract is about values.")
	contractKeyStrategy   = config.String("weir.contract.key.subject.name.strategy", "TopicName", config.OneOf(terms.Strategies...), "Which subject the schemas of keys must belong to: that of the topic (TopicName), of the record (RecordName), or of both (TopicRecordName).")
	contractValueStrategy = config.String("weir.contract.value.subject.name.strategy", "TopicName", config.OneOf(terms.Strategies...), "Which subject the schemas of values must belong to: that of the topic (TopicName), of the record (RecordName), or of both (TopicRecordName).")
	contractDeadLetters   = config.String(DeadLettersConfig, "", deadLetterTopic,
		"The topic that mode dlq writes to; none is the topic's name with .dlq. It is created when it is first needed. To set it one must be allowed to write to it.")

	confluentKey           = config.Bool("confluent.key.schema.validation", false, "Confluent's name for weir.contract.mode=reject with level id, for keys. Has no effect where weir.contract.mode is set.")
	confluentValue         = config.Bool("confluent.value.schema.validation", false, "Confluent's name for weir.contract.mode=reject with level id, for values. Has no effect where weir.contract.mode is set.")
	confluentKeyStrategy   = config.String("confluent.key.subject.name.strategy", confluentStrategies+"TopicNameStrategy", confluentStrategy, "Confluent's name for weir.contract.key.subject.name.strategy, for confluent.key.schema.validation.")
	confluentValueStrategy = config.String("confluent.value.subject.name.strategy", confluentStrategies+"TopicNameStrategy", confluentStrategy, "Confluent's name for weir.contract.value.subject.name.strategy, for confluent.value.schema.validation.")
)

// DeadLettersConfig names the topic for dead letters. Who sets it needs more rights than for other configs.
const DeadLettersConfig = "weir.contract.dlq.topic"

// confluentStrategies is the package of Confluent's classes.
const confluentStrategies = "io.confluent.kafka.serializers.subject."

func confluentNames() []string {
	out := make([]string, len(terms.Strategies))
	for i, s := range terms.Strategies {
		out[i] = confluentStrategies + s + "Strategy"
	}
	return out
}

var (
	confluentStrategy = config.OneOf(confluentNames()...)
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
	index := func(names []string, s string) int { return max(slices.Index(names, s), 0) }
	strategy := func(k config.Key[string]) terms.Strategy {
		s := strings.TrimSuffix(strings.TrimPrefix(k.Get(parsed), confluentStrategies), "Strategy")
		return terms.Strategy(index(terms.Strategies, s))
	}
	t := terms.Terms{
		Mode: terms.Mode(index(terms.Modes, contractMode.Get(parsed))), Level: terms.Level(index(terms.Levels, contractLevel.Get(parsed))),
		Key: contractKey.Get(parsed), Value: contractValue.Get(parsed),
		KeyStrategy: strategy(contractKeyStrategy), ValueStrategy: strategy(contractValueStrategy),
		DeadLetters: contractDeadLetters.Get(parsed),
	}
	if _, set := parsed.Explicit(contractMode.Name()); !set && (confluentKey.Get(parsed) || confluentValue.Get(parsed)) {
		t = terms.Terms{
			Mode: terms.Reject, Level: terms.ID, Key: confluentKey.Get(parsed), Value: confluentValue.Get(parsed),
			KeyStrategy: strategy(confluentKeyStrategy), ValueStrategy: strategy(confluentValueStrategy),
		}
	}
	if t.Mode == terms.Off || !t.Key && !t.Value {
		return nil
	}
	if t.DeadLetters == "" || t.DeadLetters == topic {
		t.DeadLetters = topic + ".dlq"
	}
	return &t
}
