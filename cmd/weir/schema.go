package main

import (
	"github.com/spf13/cobra"
)

func newSchemaCommand(s *session) *cobra.Command {
	return newNoun("schema", "Schemas in a Schema Registry",
		`Work with a Schema Registry that speaks Confluent's API: the one of 'weir server', or any other.`,
		`  weir schema conformance http://127.0.0.1:8081      does a registry answer as it has to?`,
		newSchemaConformanceCommand(s))
}
