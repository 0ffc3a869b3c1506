package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/table"
)

// outputFormat is the value of -o. Empty means a table to a terminal and NDJSON to anything else.
type outputFormat string

var outputFormats = []string{"table", "wide", "json", "yaml", "ndjson"}

// String returns the format's name, for flags.
func (f *outputFormat) String() string { return string(*f) }

// Type names the values, for help texts.
func (f *outputFormat) Type() string { return strings.Join(outputFormats, "|") }

// Set takes a name from the command line.
func (f *outputFormat) Set(v string) error {
	if !slices.Contains(outputFormats, v) {
		return fmt.Errorf("use one of %s", strings.Join(outputFormats, ", "))
	}
	*f = outputFormat(v)
	return nil
}

const outputHelp = "form of the output (default: table to a terminal, NDJSON to a pipe)"

// addOutput gives a command the -o flag.
func (s *session) addOutput(cmd *cobra.Command) {
	cmd.Flags().VarP(&s.output, "output", "o", outputHelp)
	completeFrom(cmd, "output", outputFormats...)
}

// format returns the form to write in.
func (s *session) format() outputFormat {
	switch {
	case s.output != "":
		return s.output
	case s.outTerminal:
		return "table"
	}
	return "ndjson"
}

func (s *session) wide() bool { return s.output == "wide" }

// print writes a result: value to programs, the table to people. A slice is one document in JSON and YAML and a line
// for each element in NDJSON; anything else is one document.
func (s *session) print(value any, t *table.Table) error {
	return s.printDocument(value, t.Write)
}

// printDocument is print for results that are more than one table.
func (s *session) printDocument(value any, forPeople func(w io.Writer, wide bool) error) error {
	var err error
	switch s.format() {
	case "table", "wide":
		err = forPeople(s.out, s.wide())
	case "json":
		err = writeJSON(s.out, notNil(value), "  ")
	case "yaml":
		err = writeYAML(s.out, notNil(value))
	default:
		err = writeNDJSON(s.out, value)
	}
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}

// notNil makes an empty list of a nil one: programs expect [], not null.
func notNil(value any) any {
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice && v.IsNil() {
		return []struct{}{}
	}
	return value
}

func writeJSON(w io.Writer, value any, indent string) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	return enc.Encode(value)
}

func writeNDJSON(w io.Writer, value any) error {
	v := reflect.ValueOf(value)
	if v.Kind() != reflect.Slice {
		return writeJSON(w, value, "")
	}
	var b bytes.Buffer
	for i := range v.Len() {
		if err := writeJSON(&b, v.Index(i).Interface(), ""); err != nil {
			return err
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// writeYAML goes through JSON, so that names and order are the same in both.
func writeYAML(w io.Writer, value any) error {
	var b bytes.Buffer
	if err := writeJSON(&b, value, ""); err != nil {
		return err
	}
	text, err := yaml.JSONToYAML(b.Bytes())
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
