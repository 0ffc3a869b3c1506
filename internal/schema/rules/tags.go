package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// fieldError names the field at which a rule failed.
type fieldError struct {
	field string
	err   error
}

func (e *fieldError) Error() string { return fmt.Sprintf("field %s: %v", e.field, e.err) }
func (e *fieldError) Unwrap() error { return e.err }

func asFieldError(err error) (*fieldError, bool) { return errors.AsType[*fieldError](err) }

// tagger knows the tags that the metadata gives to fields: by their full names, or by patterns of them.
type tagger struct {
	exact    map[string][]string
	patterns []tagPattern
}

type tagPattern struct {
	glob string
	tags []string
}

func newTagger(tags map[string][]string) tagger {
	t := tagger{exact: map[string][]string{}}
	for _, path := range slices.Sorted(maps.Keys(tags)) {
		if strings.ContainsAny(path, `*?\`) {
			t.patterns = append(t.patterns, tagPattern{strings.ReplaceAll(path, "**.*", "**"), tags[path]})
		} else {
			t.exact[path] = tags[path]
		}
	}
	return t
}

// add returns the tags of a field, those of the metadata after its own, each once.
func (t tagger) add(fullName string, own []string) []string {
	all := own
	for _, tag := range t.exact[fullName] {
		all = appendOnce(all, tag, len(own))
	}
	for _, p := range t.patterns {
		if matchName(p.glob, fullName) {
			for _, tag := range p.tags {
				all = appendOnce(all, tag, len(own))
			}
		}
	}
	return all
}

// appendOnce leaves the first n tags where they are: they belong to the schema.
func appendOnce(tags []string, tag string, n int) []string {
	if slices.Contains(tags, tag) {
		return tags
	}
	if len(tags) == n {
		tags = slices.Clip(tags)
	}
	return append(tags, tag)
}

// matchName matches a name with dots: ? is a character but the dot, * any number of such, ** any number of any, and \ takes the
// meaning from what follows. The time is the product of both lengths at most.
func matchName(pattern, fullName string) bool {
	glob, name := []rune(pattern), []rune(fullName)
	reach := make([]bool, len(name)+1) // reach[j]: the glob so far matches the first j characters
	next := make([]bool, len(name)+1)
	reach[0] = true
	for i := 0; i < len(glob); i++ {
		c, any, star, across := glob[i], false, false, false
		switch c {
		case '*':
			star = true
			if across = i+1 < len(glob) && glob[i+1] == '*'; across {
				i++
			}
		case '?':
			any = true
		case '\\':
			if i+1 < len(glob) {
				i++
				c = glob[i]
			}
		}
		next[0] = star && reach[0]
		for j := range len(name) {
			switch {
			case star:
				next[j+1] = reach[j+1] || next[j] && (across || name[j] != '.')
			case any:
				next[j+1] = reach[j] && name[j] != '.'
			default:
				next[j+1] = reach[j] && name[j] == c
			}
		}
		reach, next = next, reach
	}
	return reach[len(name)]
}
