package state

import "strings"

// Names of subjects are qualified: ":.ctx:subject" in a context, the bare name in the default one. A prefix of a context is what
// stands before the subject: ":.ctx:", or "" for the default.
const (
	// DefaultContext is how the API calls the context without a name.
	DefaultContext = "."
	// GlobalContext holds the settings above all contexts, and no subjects.
	GlobalContext = ".__GLOBAL"
	// Wildcard stands before the prefix of subjects in all contexts.
	Wildcard = ":*:"

	contextStart   = ":."
	globalSubject  = "__GLOBAL"
	emptySubject   = "__EMPTY"
	globalPrefix   = ":.__GLOBAL:"
	wildcardName   = "*"
	contextDivider = ":"
)

// Split takes a name apart: the context as the API calls it, and the subject in it.
func Split(name string) (context, subject string) {
	if rest, ok := strings.CutPrefix(name, contextStart); ok {
		context, subject, _ = strings.Cut(rest, contextDivider)
		return "." + context, subject
	}
	if rest, ok := strings.CutPrefix(name, Wildcard); ok {
		return wildcardName, rest
	}
	return DefaultContext, name
}

// Prefix is what the names of a context's subjects begin with.
func Prefix(context string) string {
	if context == DefaultContext || context == "" {
		return ""
	}
	return contextDivider + context + contextDivider
}

// Normalize writes a name in the one way in which it is kept: ":.:x" is "x".
func Normalize(name string) string {
	context, subject := Split(name)
	return Prefix(context) + subject
}

// ContextOf is the prefix of a name's context.
func ContextOf(name string) string {
	context, _ := Split(name)
	return Prefix(context)
}

// Qualify puts a name that has no context into that of parent.
func Qualify(parent, name string) string {
	context, subject := Split(name)
	if context != DefaultContext {
		return Prefix(context) + subject
	}
	return ContextOf(parent) + subject
}

// ContextPrefix reads a context as a path names it: "ctx", ".ctx" or ":.ctx:". ok is false for one that holds a colon inside.
func ContextPrefix(text string) (prefix string, ok bool) {
	text = strings.TrimSuffix(strings.TrimPrefix(text, contextDivider), contextDivider)
	if strings.Contains(text, contextDivider) {
		return "", false
	}
	if !strings.HasPrefix(text, ".") {
		text = "." + text
	}
	return Prefix(text), true
}

// IsContext tells whether a name stands for a context and no subject in it.
func IsContext(name string) bool {
	_, subject := Split(name)
	return subject == ""
}

// ValidSubject tells whether a name may be used; settings are about contexts, too, and about the global one.
func ValidSubject(name string, settings bool) bool {
	for _, r := range name {
		if r < 0x20 || r >= 0x7f && r <= 0x9f {
			return false
		}
	}
	context, subject := Split(name)
	return subject != globalSubject && subject != emptySubject && (settings || context != GlobalContext)
}

// matches tells whether a name lies under another: a subject is itself, a context all that is in it, the global one everything.
func matches(name, under string) bool {
	context, subject := Split(under)
	switch {
	case subject != "":
		return name == under
	case context == GlobalContext || context == wildcardName:
		return true
	}
	return ContextOf(name) == Prefix(context)
}
