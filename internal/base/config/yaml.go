package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxYAMLDepth bounds nesting; the longest setting has ten words.
const maxYAMLDepth = 16

// pair is a setting in a file.
type pair struct {
	name, text string
	line       int
}

// parseYAML reads a mapping whose keys are dotted names or parts of one:
//
//	log:
//	  segment.bytes: 1048576
//	  cleanup.policy: [compact, delete]
//
// It walks the syntax tree instead of decoding into maps: so errors have lines, numbers keep their digits, and an
// alias cannot multiply the text (anchors, aliases and tags are refused).
func parseYAML(data []byte) ([]pair, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("is larger than %d bytes", maxFileBytes)
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, err
	}
	var out []pair
	seen := make(map[string]int)
	for i, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if i > 0 && len(out) > 0 {
			return nil, errors.New("holds more than one document")
		}
		if err := flatten(doc.Body, "", 0, func(p pair) error {
			if line, ok := seen[p.name]; ok {
				return fmt.Errorf("line %d: %s was set on line %d already", p.line, p.name, line)
			}
			seen[p.name] = p.line
			out = append(out, p)
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func flatten(n ast.Node, prefix string, depth int, emit func(pair) error) error {
	if depth > maxYAMLDepth {
		return fmt.Errorf("line %d: nested deeper than %d", lineOf(n), maxYAMLDepth)
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			if err := flatten(v, prefix, depth, emit); err != nil {
				return err
			}
		}
		return nil
	case *ast.MappingValueNode:
		key, ok := n.Key.(ast.ScalarNode)
		if !ok || n.Key.IsMergeKey() {
			return fmt.Errorf("line %d: a name must be plain text", lineOf(n))
		}
		name := fmt.Sprint(key.GetValue())
		if name == "" {
			return fmt.Errorf("line %d: empty name", lineOf(n))
		}
		if prefix != "" {
			name = prefix + "." + name
		}
		return flatten(n.Value, name, depth+1, emit)
	case nil:
		return nil
	}
	if prefix == "" {
		if n.Type() == ast.NullType || n.Type() == ast.CommentType {
			return nil
		}
		return fmt.Errorf("line %d: want a list of name: value", lineOf(n))
	}
	if n.Type() == ast.NullType {
		return nil // "name:" with nothing behind it leaves the default
	}
	text, err := scalarText(n, true)
	if err != nil {
		return err
	}
	return emit(pair{prefix, text, lineOf(n)})
}

func scalarText(n ast.Node, lists bool) (string, error) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, nil
	case *ast.LiteralNode:
		return n.Value.Value, nil
	case *ast.IntegerNode:
		if digits := n.Token.Value; strings.Trim(digits, "0123456789") == "" {
			return digits, nil // a string setting may want its leading zeros
		}
		return fmt.Sprint(n.Value), nil
	case *ast.BoolNode:
		return fmt.Sprint(n.Value), nil
	case *ast.FloatNode:
		return n.Token.Value, nil
	case *ast.SequenceNode:
		if !lists {
			break
		}
		items := make([]string, len(n.Values))
		for i, v := range n.Values {
			text, err := scalarText(v, false)
			if err != nil {
				return "", err
			}
			items[i] = text
		}
		return strings.Join(items, ","), nil
	}
	return "", fmt.Errorf("line %d: %s is no value of a setting", lineOf(n), strings.ToLower(n.Type().String()))
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 0
	}
	return n.GetToken().Position.Line
}
