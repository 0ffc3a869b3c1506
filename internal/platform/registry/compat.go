package registry

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/weir-stream/weir/internal/platform/registry/state"
	"github.com/weir-stream/weir/internal/schema"
)

// incompatibilities lists what keeps a schema from following versions of a subject, ascending, at the level that holds for it, and what
// is wrong with its reserved fields where those are checked: empty if nothing is.
func (r *Registry) incompatibilities(s *state.State, subject string, config *state.Config, p schema.Schema, c *state.Content, previous []*state.Version) []string {
	var messages []string
	if validatesFields(config) {
		messages = reservedFields(p, c, previous)
	}
	if config.Group != "" {
		group := groupOf(c, config.Group)
		previous = slices.DeleteFunc(slices.Clone(previous), func(v *state.Version) bool { return groupOf(v.Content, config.Group) != group })
	}
	level := string(config.Level)
	if !strings.HasSuffix(level, "_TRANSITIVE") && len(previous) > 0 {
		previous = previous[len(previous)-1:]
	}
	direction, _, _ := strings.Cut(level, "_")
	format, _ := r.o.Formats(c.Type) // it was parsed by it
	if level == "NONE" {
		previous = nil
	}
	for _, v := range slices.Backward(previous) {
		differences := r.differences(s, subject, format, p, v, direction, config.Policy)
		if len(differences) == 0 {
			continue
		}
		messages = append(append(messages, differences...), fmt.Sprintf("{oldSchemaVersion: %d}", v.Version), fmt.Sprintf("{oldSchema: '%s'}", v.Text))
		break
	}
	if len(messages) > 0 {
		messages = append(messages, fmt.Sprintf("{validateFields: '%t', compatibility: '%s'}", validatesFields(config), level))
	}
	return messages
}

func groupOf(c *state.Content, property string) string {
	if c.Metadata == nil {
		return ""
	}
	return c.Metadata.Properties[property]
}

func (r *Registry) differences(s *state.State, subject string, format schema.Format, p schema.Schema, v *state.Version, direction string, policy schema.Policy) []string {
	if v.Type != p.Type() {
		return []string{"Incompatible because of different schema type"}
	}
	old, err := r.parse(s, subject, v.Content, false)
	if err != nil {
		return []string{fmt.Sprintf("{errorType:'UNREADABLE', description:'version %d cannot be parsed: %v'}", v.Version, err)}
	}
	var all []schema.Difference
	if direction == "BACKWARD" || direction == "FULL" {
		all = append(all, format.Compare(p, old, policy)...)
	}
	if direction == "FORWARD" || direction == "FULL" {
		all = append(all, format.Compare(old, p, policy)...)
	}
	var out []string
	for _, d := range all {
		if text := describe(d); !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// describe writes a difference in the manner of Confluent, with what to do about it behind.
func describe(d schema.Difference) string {
	text := fmt.Sprintf("{errorType:'%s', description:\"%s\", additionalInfo:'%s'", d.Type, d.Message, d.Path)
	if d.Advice != "" {
		text += fmt.Sprintf(", advice:\"%s\"", d.Advice)
	}
	return text + "}"
}

// Compatible says whether a schema may follow versions of a subject: the one that is named ("latest", a number), or with version ""
// those that its level asks for. The messages say why not. With verbose, a schema that cannot be parsed is a message.
func (r *Registry) Compatible(ctx context.Context, subject, version string, content state.Content, normalize, verbose bool) (messages []string, err error) {
	number := 0
	if version != "" {
		if number, err = parseVersion(version); err != nil {
			return nil, err
		}
	}
	return read(ctx, r, func(s *state.State) ([]string, error) {
		var previous []*state.Version
		switch v := s.Get(subject, number, state.Live); {
		case version == "":
			previous = s.Versions(subject, state.Live)
		case v != nil:
			previous = []*state.Version{v}
		case number != -1:
			return nil, errVersion(number)
		}
		config := s.ConfigFor(subject)
		normalize := normalize || config.Normalize != nil && *config.Normalize
		c := content
		if strings.TrimSpace(c.Text.String()) == "" {
			return unreadable(errInvalidSchema("Empty schema"), verbose)
		}
		p, err := r.canonical(s, subject, &c, config.ValidateNewSchemas == nil || *config.ValidateNewSchemas, normalize)
		if err == nil {
			err = restrictedFields(&config, p)
		}
		if err != nil {
			return unreadable(err, verbose)
		}
		return r.incompatibilities(s, subject, &config, p, &c, previous), nil
	})
}

func unreadable(err error, verbose bool) ([]string, error) {
	if !verbose {
		return nil, err
	}
	return []string{err.Error()}, nil
}

// parseVersion reads the number of a version; latest and -1 stand for the last one.
func parseVersion(text string) (int, error) {
	if text = strings.TrimSpace(text); strings.EqualFold(text, "latest") || text == "-1" {
		return -1, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, errInvalidVersion(text)
	}
	return int(n), nil
}
