package quota

import (
	"math"
	"net/netip"

	"github.com/weir-stream/weir/internal/kafka"
)

// Keys of quotas.
const (
	ProducerByteRate       = "producer_byte_rate"
	ConsumerByteRate       = "consumer_byte_rate"
	RequestPercentage      = "request_percentage"
	ControllerMutationRate = "controller_mutation_rate"
	ConnectionCreationRate = "connection_creation_rate"
)

// EntityOf makes the entity of a request's parts; a nil name is the default, and the last part of a type counts. The error
// is INVALID_REQUEST in Kafka's words.
func EntityOf(kinds []string, names []*string) (Entity, error) {
	var e Entity
	for i, kind := range kinds {
		p := e.part(kind)
		switch {
		case p == nil:
			return e, kafka.Errorf(kafka.InvalidRequest, "Unhandled client quota entity type: %s", kind)
		case names[i] == nil:
			*p = Any()
		case *names[i] == "":
			return e, kafka.Errorf(kafka.InvalidRequest, "Empty %s not supported", kind)
		default:
			*p = Named(*names[i])
		}
	}
	switch {
	case e == Entity{}:
		return e, kafka.Errorf(kafka.InvalidRequest, "Invalid empty client quota entity")
	case e.IP.Set && (e.User.Set || e.ClientID.Set):
		return e, kafka.Errorf(kafka.InvalidRequest, "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId") //nolint:misspell // Kafka's words
	case e.IP.Set && !e.IP.Default:
		if _, err := netip.ParseAddr(e.IP.Name); err != nil {
			return e, kafka.Errorf(kafka.InvalidRequest, "%s is not a valid IP or resolvable host.", e.IP.Name)
		}
	}
	return e, nil
}

// Check says whether an entity may have a quota. The error is INVALID_REQUEST in Kafka's words.
func Check(e Entity, key string, value float64) error {
	most, kind, known := 0.0, "", e.IP.Set == (key == ConnectionCreationRate)
	switch key {
	case ProducerByteRate, ConsumerByteRate:
		most, kind = math.MaxInt64, "a LONG"
	case ConnectionCreationRate:
		most, kind = math.MaxInt32, "an INT"
	case RequestPercentage, ControllerMutationRate:
	default:
		known = false
	}
	switch {
	case !known:
		return kafka.Errorf(kafka.InvalidRequest, "Invalid configuration key %s", key)
	case !(value > 0): // not a number is refused too
		return kafka.Errorf(kafka.InvalidRequest, "Quota %s must be greater than 0", key)
	case kind == "":
		return nil
	case value > most:
		return kafka.Errorf(kafka.InvalidRequest, "Proposed value for %s is too large for %s.", key, kind)
	case math.Abs(value-math.Round(value)) > 1e-6:
		return kafka.Errorf(kafka.InvalidRequest, "%s cannot be a fractional value.", key)
	}
	return nil
}

// MatchKind says how a Component of a filter compares, with the protocol's numbers.
type MatchKind int8

// The kinds of comparisons.
const (
	MatchExact MatchKind = iota
	MatchDefault
	MatchAny
)

// Component asks for one side of entities.
type Component struct {
	Type  string
	Kind  MatchKind
	Match *string // for MatchExact
}

// Filter chooses entities: those that have all sides that components ask for, and with strict no others.
type Filter struct {
	components []Component
	strict     bool
}

// NewFilter checks the components. The errors are INVALID_REQUEST and UNSUPPORTED_VERSION in Kafka's words.
func NewFilter(components []Component, strict bool) (Filter, error) {
	seen := map[string]bool{}
	for _, c := range components {
		var e Entity
		switch {
		case c.Type == "":
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Invalid empty entity type.")
		case seen[c.Type]:
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Entity type %s cannot appear more than once in the filter.", c.Type)
		case e.part(c.Type) == nil:
			return Filter{}, kafka.Errorf(kafka.UnsupportedVersion, "Unsupported entity type %s", c.Type)
		case c.Kind == MatchExact && c.Match == nil:
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Request specified MATCH_TYPE_EXACT, but set match string to null.")
		case c.Kind == MatchDefault && c.Match != nil:
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.")
		case c.Kind == MatchAny && c.Match != nil:
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.")
		case c.Kind < MatchExact || c.Kind > MatchAny:
			return Filter{}, kafka.Errorf(kafka.InvalidRequest, "Unknown match type %d", c.Kind)
		}
		seen[c.Type] = true
	}
	if seen[TypeIP] && (seen[TypeUser] || seen[TypeClientID]) {
		return Filter{}, kafka.Errorf(kafka.InvalidRequest,
			"Invalid entity filter component combination. IP filter component should not be used with user or clientId filter component.")
	}
	return Filter{components, strict}, nil
}

// Matches says whether the filter chooses e.
func (f Filter) Matches(e Entity) bool {
	sides := 0
	e.Each(func(string, Part) { sides++ })
	if f.strict && sides != len(f.components) {
		return false
	}
	for _, c := range f.components {
		p := e.part(c.Type)
		switch {
		case !p.Set,
			c.Kind == MatchExact && (p.Default || p.Name != *c.Match),
			c.Kind == MatchDefault && !p.Default:
			return false
		}
	}
	return true
}
