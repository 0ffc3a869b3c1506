package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/weir-stream/weir/internal/cli/registryclient"
)

// addRegistry gives a command the flag that names a Schema Registry.
func (s *session) addRegistry(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.schemaRegistry, "schema-registry", "", "`URL` of the Schema Registry (default WEIR_SCHEMA_REGISTRY, or port "+registryclient.DefaultPort+" of the broker's host)")
}

// registry returns a client of the Schema Registry that the flag, WEIR_SCHEMA_REGISTRY or the property schema.registry.url names, or else of
// the one that is most probably there: beside the first broker. Then guessed is true. It asks nothing yet.
func (s *session) registry() (cl *registryclient.Client, guessed bool, err error) {
	props, err := s.settings()
	if err != nil {
		return nil, false, err
	}
	address := s.schemaRegistry
	if address == "" {
		address = s.env("WEIR_SCHEMA_REGISTRY")
	}
	if address == "" {
		address = props["schema.registry.url"]
	}
	if address == "" {
		address, guessed = registryclient.Beside(s.seeds()[0]), true
	}
	cl, err = registryclient.New(registryclient.Options{URLs: strings.Split(address, ","), Properties: props, UserAgent: "weir/" + readBuildInfo().Version})
	if err != nil {
		// What can be wrong here is what was typed: an address, a login, a certificate.
		return nil, false, usageErrorf("%v", err)
	}
	return cl, guessed, nil
}
