package dek

import (
	"errors"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// The codes of the API of keys.
const (
	codeForbidden      = 40370
	codeNotFound       = 40470
	codeNotDeleted     = 40471
	codeDeleted        = 40472
	codeExists         = 40971
	codeTooMany        = 40972
	codeInvalidVersion = 42202
	codeInvalid        = 42271
	codeReferenced     = 42272
	codeGeneration     = 50070
)

func notFound(name string) error { return gate.Errorf(codeNotFound, "Key '%s' not found", name) }

func notDeleted(name string) error {
	return gate.Errorf(codeNotDeleted, "Key '%s' was not deleted first before being permanently deleted", name)
}

func stillDeleted(name string) error {
	return gate.Errorf(codeDeleted, "Key '%s' must be undeleted first", name)
}

func exists(name string) error {
	return gate.Errorf(codeExists, "Key '%s' already exists; use a different value", name)
}

func tooMany(limit int) error {
	return gate.Errorf(codeTooMany, "A maximum of %d keys already exist", limit)
}

func invalid(field string) error {
	return gate.Errorf(codeInvalid, "Invalid or missing value for field '%s' of key", field)
}

func referenced(name string) error {
	return gate.Errorf(codeReferenced, "One or more references exist to the key '%s'", name)
}

// generation tells that a KMS could not be used. What it said goes to the client, who has to mend it; KMSes put no keys into their errors.
func generation(what, subject string, err error) error {
	code := codeGeneration
	if errors.Is(err, fieldcrypt.ErrDenied) {
		code = codeForbidden
	}
	return gate.Errorf(code, "Could not generate %s dek for %s: %v", what, subject, err)
}
