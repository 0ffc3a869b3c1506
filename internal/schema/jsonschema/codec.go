package jsonschema

import (
	"fmt"

	"github.com/weir-stream/weir/internal/schema"
)

// read reads a payload into the plain model.
func (p *parsed) read(payload []byte) (any, error) {
	s := &scanner{in: payload, names: p.names}
	v, err := s.plain()
	if err == nil {
		err = s.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("%w: no JSON: %w", schema.ErrPayload, err)
	}
	return v, nil
}

// Decode reads a JSON text. Whether it obeys the schema is not looked at, as upstream's readers do not either: see Validate.
func (p *parsed) Decode(payload []byte, _ []int) (any, error) { return p.read(payload) }

// Encode writes a value that obeys the schema, the members of objects sorted by name. Bytes become base64.
func (p *parsed) Encode(value any, _ []int) ([]byte, error) {
	b, err := appendPlain(nil, value, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	return b, p.Validate(b, nil)
}

// ToJSON checks that the payload is JSON, and returns it.
func (p *parsed) ToJSON(payload []byte, _ []int) ([]byte, error) {
	if _, err := p.read(payload); err != nil {
		return nil, err
	}
	return payload, nil
}

// FromJSON checks that the text obeys the schema, and returns it.
func (p *parsed) FromJSON(text []byte, _ []int) ([]byte, error) {
	if err := p.Validate(text, nil); err != nil {
		return nil, err
	}
	return text, nil
}

// Validate checks that the payload is JSON and obeys the schema.
func (p *parsed) Validate(payload []byte, _ []int) error {
	v, err := p.read(payload)
	if err != nil {
		return err
	}
	if err := validate(p.root, v, len(payload)); err != nil {
		return fmt.Errorf("%w: %w", schema.ErrPayload, err)
	}
	return nil
}
