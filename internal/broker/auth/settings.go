package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/weir-stream/weir/internal/base/config"
	"github.com/weir-stream/weir/internal/kafka/acl"
)

// Settings of the authorizer. Their names and meanings are Kafka's.
var (
	AuthorizerClass = config.String("authorizer.class.name", "", config.Check("empty, weir or "+kafkaAuthorizer, checkAuthorizer), config.Common,
		"What decides who may do what: weir, or the name of Kafka's standard authorizer, decides by ACLs; empty lets everybody do everything.")
	SuperUsers = config.String("super.users", "", config.Check("principals such as User:alice, with semicolons between them", checkSuperUsers),
		"Principals that may do everything, whatever ACLs say: User:alice;User:bob.")
	AllowEveryone = config.Bool("allow.everyone.if.no.acl.found", false,
		"Let everybody do what no ACL is about, where there is an authorizer.")
)

// Settings are the settings that this package reads.
func Settings() []config.Declared {
	return []config.Declared{AuthorizerClass, SuperUsers, AllowEveryone}
}

// kafkaAuthorizer is the class that those who come from Kafka have in their settings.
const kafkaAuthorizer = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"

func checkAuthorizer(v any) error {
	switch v {
	case "", "weir", kafkaAuthorizer:
		return nil
	}
	return errors.New("there is no such authorizer here: it would let in whom yours keeps out")
}

func checkSuperUsers(v any) error {
	s, ok := v.(string)
	if !ok {
		return errors.New("not a text")
	}
	_, err := parseSuperUsers(s)
	return err
}

func parseSuperUsers(s string) ([]Principal, error) {
	var out []Principal
	for part := range strings.SplitSeq(s, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		p, err := acl.ParsePrincipal(part)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// RulesOf returns what decides beside the bindings. on is false where there is no authorizer.
func RulesOf(v *config.Values) (rules acl.Rules, on bool, err error) {
	rules.AllowIfNone = AllowEveryone.Get(v)
	if rules.SuperUsers, err = parseSuperUsers(SuperUsers.Get(v)); err != nil {
		return rules, false, fmt.Errorf("super.users: %w", err)
	}
	return rules, AuthorizerClass.Get(v) != "", nil
}
