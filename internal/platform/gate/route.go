package gate

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Route is one row of a service's table: it routes requests, and the OpenAPI document tells of it.
type Route struct {
	Method string
	// Path begins with a slash; {name} stands for one segment, unescaped, so that it may hold slashes itself, and a last {name...}
	// for all that is left. Handlers read both with r.PathValue.
	Path string
	// Name is the operation in the OpenAPI document, and the label of metrics; Summary one line about it; Tag its chapter.
	Name, Summary, Tag string
	Query              []Param
	// PathParams tell of the {names}; those that are left out are texts.
	PathParams []Param
	// Body and Answer are values of the types that are read and written, nil for none; their JSON schemas go into the document.
	Body, Answer any
	// Status of a good answer. 0: 200, or 204 without an Answer.
	Status int
	// Accepts and Answers are the content types of the body and of the answer. Empty: those of the service.
	Accepts, Answers []string
	// Errors are the codes that the route can answer with, beside 401, 403, 413 and 500.
	Errors []int
	// Open routes are served without asking who calls.
	Open bool
	// Stream routes may take for ever: no deadlines, and their context ends as soon as the server is told to stop.
	Stream bool
	// MaxBodyBytes bounds the body, unpacked, in the place of the service's bound.
	MaxBodyBytes int64
	// Hidden routes are not in the document.
	Hidden bool
	Handle func(w http.ResponseWriter, r *http.Request) error
}

// Param is a parameter of a query or path.
type Param struct {
	Name, Doc string
	// Type is string, integer, boolean or array (of strings); "" is string.
	Type     string
	Default  any
	Required bool
	Enum     []string
}

// node is a segment of the tree of routes.
type node struct {
	literal map[string]*node
	param   *node
	rest    *node
	methods map[string]*bound
}

// bound is a route with the names of its segments in order.
type bound struct {
	*Route
	names []string
}

// tree makes the tree of a table. Two routes of the same method and shape are an error.
func tree(routes []Route) (*node, error) {
	root := &node{}
	for i := range routes {
		r := &routes[i]
		at, names := root, []string(nil)
		for segment := range strings.SplitSeq(strings.Trim(r.Path, "/"), "/") {
			name, isParam := strings.CutPrefix(segment, "{")
			switch {
			case segment == "":
			case isParam && strings.HasSuffix(name, "...}"):
				names = append(names, strings.TrimSuffix(name, "...}"))
				at = child(&at.rest)
			case isParam:
				names = append(names, strings.TrimSuffix(name, "}"))
				at = child(&at.param)
			default:
				if at.literal == nil {
					at.literal = map[string]*node{}
				}
				next := at.literal[segment]
				at.literal[segment] = child(&next)
				at = next
			}
		}
		if at.methods == nil {
			at.methods = map[string]*bound{}
		}
		if at.methods[r.Method] != nil {
			return nil, fmt.Errorf("route %s %s is there twice", r.Method, r.Path)
		}
		at.methods[r.Method] = &bound{r, names}
	}
	return root, nil
}

func child(n **node) *node {
	if *n == nil {
		*n = &node{}
	}
	return *n
}

// maxSegments bounds the depth of a path.
const maxSegments = 64

// segmentsOf splits a path as it was sent, so that an escaped slash does not divide, and unescapes the pieces.
func segmentsOf(u *url.URL) ([]string, bool) {
	path := strings.TrimSuffix(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if path == "" {
		return nil, true
	}
	if strings.Count(path, "/") >= maxSegments {
		return nil, false
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, false
		}
		segments[i] = plain
	}
	return segments, true
}

// find looks for the node of a path; literal segments win over names, and names over the rest.
func (n *node) find(segments, values []string) (*node, []string) {
	if len(segments) == 0 {
		if n.methods == nil {
			return nil, nil
		}
		return n, values
	}
	if next := n.literal[segments[0]]; next != nil {
		if found, v := next.find(segments[1:], values); found != nil {
			return found, v
		}
	}
	if n.param != nil {
		if found, v := n.param.find(segments[1:], append(values, segments[0])); found != nil {
			return found, v
		}
	}
	if n.rest != nil && n.rest.methods != nil {
		return n.rest, append(values, strings.Join(segments, "/"))
	}
	return nil, nil
}

// lookup finds the route of a request and notes its path values, or says why there is none.
func (n *node) lookup(r *http.Request) (*Route, *Error) {
	segments, ok := segmentsOf(r.URL)
	if !ok {
		return nil, Errorf(http.StatusBadRequest, "The path cannot be read")
	}
	at, values := n.find(segments, make([]string, 0, 8))
	if at == nil {
		return nil, Errorf(http.StatusNotFound, "HTTP 404 Not Found")
	}
	method := r.Method
	if method == http.MethodHead && at.methods[method] == nil {
		method = http.MethodGet
	}
	b := at.methods[method]
	if b == nil {
		e := Errorf(http.StatusMethodNotAllowed, "HTTP 405 Method Not Allowed")
		e.Header = http.Header{"Allow": {strings.Join(at.allowed(), ", ")}}
		return nil, e
	}
	for i, name := range b.names {
		r.SetPathValue(name, values[i])
	}
	return b.Route, nil
}

func (n *node) allowed() []string {
	var out []string
	for m := range n.methods {
		out = append(out, m)
		if m == http.MethodGet {
			out = append(out, http.MethodHead)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return slices.Compact(append(out, http.MethodOptions))
}
