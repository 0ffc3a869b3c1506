// Package dek is the registry of keys for the encryption of fields: key encryption keys (KEKs), which name a key in a key
// management service, and data encryption keys (DEKs), which are kept here wrapped by one of them. It serves the paths below
// /dek-registry/v1 that Confluent's clients call; package fieldcrypt says what the keys are for.
//
//	HTTP (Service) ──▶ decide, as the one writer of the Log (Store) ──▶ records of _dek_registry_keys ──▶ Keys.Apply ──▶ answers
//
// Keys is the state: what the records of the topic say, in Confluent's forms, so that the topic can be copied from there and back.
// It changes in Apply alone. Service decides what is written, by the rules of Confluent's registry 8.x. Store is the Log in a topic. The package
// holds no connection: whoever mounts it brings the topic, the authorizer and the KMSes.
//
// A KEK that is shared lets the registry use its KMS: it makes DEKs, and hands them out unwrapped to whoever may read them. Of one that
// is not shared the registry never sees key material. Deleting is soft first, then for good; a KEK goes only after its DEKs. When both are
// gone for good, and the topic is compacted, what was encrypted under them cannot be read by anybody.
//
// Known differences: a failed test of sharing at the creation of a KEK answers 50070 or 40370, which upstream reports as an internal error;
// a negative offset is taken for 0; lists leave out what the caller may not see.
//
// Locks: the turn of Store (a channel), then Store.mu or Keys.mu, which are held for no call.
package dek

import (
	"context"
	"errors"
	"log/slog"

	"github.com/weir-stream/weir/internal/kafka/acl"
	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/schema/fieldcrypt"
)

// Topic is where the records are: compacted, with one partition.
const Topic = "_dek_registry_keys"

// DefaultMaxKeys bounds KEKs, and likewise DEKs.
const DefaultMaxKeys = 20000

// Record is a record of the topic. A nil Value is a tombstone.
type Record struct{ Key, Value []byte }

// Log is the topic.
type Log interface {
	// Sync returns when Keys has everything that any writer had been acknowledged before the call.
	Sync(ctx context.Context) error
	// Change calls decide when this process is the one writer and Keys has everything that was written; no other Change runs meanwhile.
	// It writes the records that decide returns, if any, and returns when they are durable and were given to Keys.Apply. The error of decide
	// comes back as it is.
	Change(ctx context.Context, decide func() ([]Record, error)) error
}

// Options are what a Service works with.
type Options struct {
	Keys *Keys
	Log  Log
	// KMS is used for shared KEKs alone.
	KMS fieldcrypt.KMSes
	// Allow says whether the caller in ctx may do op (Describe, Read, Write or Delete) with a KEK or, if subject is not empty, with the DEKs of a
	// subject under it. Its error goes to the client as it is; a gate.ErrForbidden makes lists shorter. See By.
	Allow func(ctx context.Context, op acl.Operation, kek, subject string) error
	// Importing says that a subject is in mode IMPORT: its DEKs are not unwrapped at their creation. nil is never.
	Importing func(subject string) bool
	// MaxKeys bounds KEKs and DEKs; 0 means DefaultMaxKeys.
	MaxKeys int
	Logger  *slog.Logger
}

// Service serves the API. It is safe for concurrent use.
type Service struct{ o Options }

// KEKResource is how ACLs name a KEK, among the subjects.
const KEKResource = "__kek."

// By is an Allow that asks a bridge: for DEKs it takes the right to the subject, and Describe on the KEK.
func By(b gate.Bridge) func(ctx context.Context, op acl.Operation, kek, subject string) error {
	return func(ctx context.Context, op acl.Operation, kek, subject string) error {
		c := gate.CallerOf(ctx)
		if subject != "" {
			if err := b.Allowed(ctx, c, op, acl.Subject, subject); err != nil {
				return err
			}
			op = acl.Describe
		}
		return b.Allowed(ctx, c, op, acl.Subject, KEKResource+kek)
	}
}

// New checks the options.
func New(o Options) (*Service, error) {
	if o.Keys == nil || o.Log == nil || o.Allow == nil || o.Logger == nil {
		return nil, errors.New("registry of keys: Keys, Log, Allow and Logger are needed")
	}
	if o.MaxKeys <= 0 {
		o.MaxKeys = DefaultMaxKeys
	}
	if o.Importing == nil {
		o.Importing = func(string) bool { return false }
	}
	return &Service{o}, nil
}
