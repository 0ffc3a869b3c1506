package quota

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Types of the parts of an entity, as the protocol names them.
const (
	TypeUser     = "user"
	TypeClientID = "client-id"
	TypeIP       = "ip"
)

// Part names one side of an entity. The zero Part says that the entity has no such side.
type Part struct {
	Set     bool
	Default bool // for all that have no quota of their own; Name is then empty
	Name    string
}

// Named returns the part of one user, client id or address; Any that of all others.
func Named(name string) Part { return Part{Set: true, Name: name} }

// Any returns the part of the default.
func Any() Part { return Part{Set: true, Default: true} }

// Entity is what a quota belongs to. It can be compared and be a key of maps.
type Entity struct{ User, ClientID, IP Part }

// part finds a side by the name of its type.
func (e *Entity) part(kind string) *Part {
	switch kind {
	case TypeUser:
		return &e.User
	case TypeClientID:
		return &e.ClientID
	case TypeIP:
		return &e.IP
	}
	return nil
}

// types are the types in the order in which texts have them.
var types = [...]string{TypeUser, TypeClientID, TypeIP}

// Each calls f for every side that is set.
func (e Entity) Each(f func(kind string, p Part)) {
	for _, t := range types {
		if p := e.part(t); p.Set {
			f(t, *p)
		}
	}
}

// String is the text form, under which quotas are kept: "user=alice&client-id", names escaped as in a URL's query; a side
// without "=" is the default.
func (e Entity) String() string {
	var b strings.Builder
	e.Each(func(kind string, p Part) {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		b.WriteString(kind)
		if !p.Default {
			b.WriteString("=" + url.QueryEscape(p.Name))
		}
	})
	return b.String()
}

// errNoEntity marks a text that String cannot have made.
var errNoEntity = errors.New("not an entity of quotas")

// ParseEntity reads what String wrote.
func ParseEntity(text string) (Entity, error) {
	var e Entity
	for side := range strings.SplitSeq(text, "&") {
		kind, name, named := strings.Cut(side, "=")
		p := e.part(kind)
		if p == nil || p.Set {
			return Entity{}, fmt.Errorf("%q: %w", text, errNoEntity)
		}
		plain, err := url.QueryUnescape(name)
		if err != nil {
			return Entity{}, fmt.Errorf("%q: %w", text, errNoEntity)
		}
		*p = Part{Set: true, Default: !named, Name: plain}
	}
	if e.String() != text {
		return Entity{}, fmt.Errorf("%q: %w", text, errNoEntity)
	}
	return e, nil
}

// Quotas maps the keys of quotas (ProducerByteRate, ...) to their values.
type Quotas map[string]float64

// Entry is an entity with its quotas.
type Entry struct {
	Entity Entity
	Quotas Quotas
}
