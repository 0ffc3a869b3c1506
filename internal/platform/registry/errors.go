package registry

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/schema"
)

// Codes and messages are Confluent's: clients look at the codes, and some at the messages.

func errSubject(subject string) error {
	return gate.Errorf(40401, "Subject '%s' not found.", subject)
}

func errVersion(version int) error { return gate.Errorf(40402, "Version %d not found.", version) }

func errSchemaID(id int) error { return gate.Errorf(40403, "Schema %d not found", id) }

func errSchemaGUID(guid string) error { return gate.Errorf(40403, "Schema %s not found", guid) }

func errSchema() error { return gate.Errorf(40403, "Schema not found") }

func errSubjectDeleted(subject string) error {
	return gate.Errorf(40404, "Subject '%s' was soft deleted.Set permanent=true to delete permanently", subject)
}

func errSubjectNotDeleted(subject string) error {
	return gate.Errorf(40405, "Subject '%s' was not deleted first before being permanently deleted", subject)
}

func errVersionDeleted(subject string, version int) error {
	return gate.Errorf(40406, "Subject '%s' Version %d was soft deleted.Set permanent=true to delete permanently", subject, version)
}

func errVersionNotDeleted(subject string, version int) error {
	return gate.Errorf(40407, "Subject '%s' Version %d was not deleted first before being permanently deleted", subject, version)
}

func errNoConfig(subject string) error {
	return gate.Errorf(40408, "Subject '%s' does not have subject-level compatibility configured", subject)
}

func errNoMode(subject string) error {
	return gate.Errorf(40409, "Subject '%s' does not have subject-level mode configured", subject)
}

func errIncompatible(subject, details string) error {
	return gate.Errorf(40901, "Schema being registered is incompatible with an earlier schema for subject \"%s\", details: %s", subject, details)
}

func errInvalidSchema(format string, args ...any) error { return gate.Errorf(42201, format, args...) }

func errInvalidVersion(text string) error {
	return gate.Errorf(42202, "The specified version '%s' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\"", text)
}

func errInvalidLevel() error {
	return gate.Errorf(42203, "Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive")
}

func errInvalidMode(message string) error { return gate.Errorf(42204, "%s", message) }

const invalidMode = "Invalid mode. Valid values are READWRITE, READONLY, READONLY_OVERRIDE, IMPORT, and FORWARD."

func errNotPermitted(format string, args ...any) error { return gate.Errorf(42205, format, args...) }

func errReferenced(subject string, version int) error {
	return gate.Errorf(42206, "One or more references exist to the schema {magic=1,keytype=SCHEMA,subject=%s,version=%d}.", subject, version)
}

func errInvalidSubject(subject string) error {
	return gate.Errorf(42208, "The specified subject '%s' is not a valid.", subject)
}

func errTooLarge() error {
	return gate.Errorf(42209, "Register operation failed because schema is too large")
}

func errInvalidRuleSet(format string, args ...any) error { return gate.Errorf(42210, format, args...) }

func errContextNotEmpty(context string) error {
	return gate.Errorf(42211, "The specified context '%s' is not empty.", context)
}

func errTimeout(err error) error {
	return fmt.Errorf("%w: %w", gate.Errorf(50002, "The operation timed out: the registry's topic could not be read or written in time"), err)
}

var errNoLeader = gate.Errorf(50004, "Other instances keep writing to the registry's topic: try again")

// isMissing tells whether an error says that something is not there, which an instance that is behind may be wrong about.
func isMissing(err error) bool {
	e, ok := errors.AsType[*gate.Error](err)
	return ok && e.Status == http.StatusNotFound
}

// storeError is what a failure of the log is to clients.
func storeError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrLost):
		return err
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return errTooLarge()
	}
	if _, ok := errors.AsType[*gate.Error](err); ok {
		return err
	}
	return fmt.Errorf("%w: %w", gate.Errorf(50001, "The registry's topic cannot be written: %v", err), err)
}

// translate turns what handlers return into answers.
func translate(err error) *gate.Error {
	if errors.Is(err, schema.ErrInvalid) {
		return gate.Errorf(42201, "%v", err)
	}
	return nil
}
