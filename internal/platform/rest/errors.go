package rest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/weir-stream/weir/internal/platform/gate"
	"github.com/weir-stream/weir/internal/platform/rest/consumers"
	"github.com/weir-stream/weir/internal/platform/rest/embedded"
	"github.com/weir-stream/weir/internal/platform/rest/tail"
)

// Codes of Confluent's proxy that are not the HTTP status itself.
const (
	codeConsumerConstraint = 40001
	codeKafkaBadRequest    = 40002
	codeUnauthenticated    = 40101
	codeForbidden          = 40301
	codeTopicNotFound      = 40401
	codePartitionNotFound  = 40402
	codeInstanceNotFound   = 40403 // v2: a consumer instance
	codeUnknownTopic       = 40403 // v3: a topic or partition
	codeFormatMismatch     = 40601
	codeAlreadySubscribed  = 40901
	codeInstanceExists     = 40902
	codeIllegalState       = 40903
	codeKeySchemaMissing   = 42201
	codeValueSchemaMissing = 42202
	codeConversion         = 42203
	codeConsumerConfig     = 42204
	codeInvalidSchema      = 42205
	codeInvalidPayload     = 42206
	codeSerialization      = 42207
	codeBatch              = 42208
	codeKafka              = 50002
	codeKafkaRetriable     = 50003
)

func errTopicNotFound() error     { return gate.Errorf(codeTopicNotFound, "Topic not found.") }
func errPartitionNotFound() error { return gate.Errorf(codePartitionNotFound, "Partition not found.") }

func badRequest(format string, args ...any) *gate.Error {
	return gate.Errorf(http.StatusBadRequest, "Bad Request: "+format, args...)
}

// Translate says what an error is to the client; nil for one that it does not know.
func Translate(err error) *gate.Error {
	if e, ok := errors.AsType[*gate.Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*embedded.Error](err); ok {
		return translateEmbedded(e, err)
	}
	switch {
	case errors.Is(err, tail.ErrUnknownTopic):
		return gate.Errorf(codeUnknownTopic, "This server does not host this topic-partition.")
	case errors.Is(err, tail.ErrUnknownPartition):
		return gate.Errorf(codePartitionNotFound, "Partition not found.")
	case errors.Is(err, tail.ErrTooMany), errors.Is(err, consumers.ErrTooMany):
		return gate.Errorf(http.StatusTooManyRequests, "%s: close some, or try again later", err)
	case errors.Is(err, tail.ErrClosed):
		return gate.Errorf(http.StatusServiceUnavailable, "The server stops: try again")
	case errors.Is(err, consumers.ErrNotFound):
		return gate.Errorf(codeInstanceNotFound, "Consumer instance not found.")
	case errors.Is(err, consumers.ErrExists):
		return gate.Errorf(codeInstanceExists, "Consumer with specified consumer ID already exists in the specified consumer group.")
	case errors.Is(err, consumers.ErrIllegalState):
		return gate.Errorf(codeIllegalState, "Illegal state: %s", strings.TrimPrefix(err.Error(), consumers.ErrIllegalState.Error()+": "))
	case errors.Is(err, consumers.ErrConfig):
		return gate.Errorf(codeConsumerConfig, "Invalid consumer configuration: %s", strings.TrimPrefix(err.Error(), consumers.ErrConfig.Error()+": "))
	}
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return translateKafka(e)
	}
	return translateClient(err)
}

// translateClient is for errors that Kafka's client makes itself.
func translateClient(err error) *gate.Error {
	_, unreachable := errors.AsType[*net.OpError](err)
	_, first := errors.AsType[*kgo.ErrFirstReadEOF](err)
	switch {
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrRecordRetries):
		return gate.Errorf(codeKafkaRetriable, "Kafka error: the records were not acknowledged in time")
	case errors.Is(err, kgo.ErrMaxBuffered):
		return gate.Errorf(http.StatusTooManyRequests, "Too many records are under way: try again")
	case isPartitionChoice(err):
		return gate.Errorf(codePartitionNotFound, "Partition not found.")
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return nil
	case unreachable, first, errors.Is(err, kgo.ErrClientClosed):
		return gate.Errorf(50302, "The Kafka cluster cannot be reached: try again")
	}
	return nil
}

// isPartitionChoice tells whether the client refused a record because its topic has no such partition.
func isPartitionChoice(err error) bool {
	return err != nil && strings.HasPrefix(err.Error(), "invalid record partitioning choice")
}

// translateKafka is for error codes of the cluster.
func translateKafka(e *kerr.Error) *gate.Error {
	said := e.Description
	switch e {
	case kerr.UnknownTopicOrPartition, kerr.UnknownTopicID:
		return gate.Errorf(codeUnknownTopic, "This server does not host this topic-partition.")
	case kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.TransactionalIDAuthorizationFailed, kerr.DelegationTokenAuthorizationFailed:
		return gate.Errorf(codeForbidden, "%s", said)
	case kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism:
		return gate.Errorf(codeUnauthenticated, "Authentication failed")
	case kerr.MessageTooLarge, kerr.RecordListTooLarge:
		return gate.Errorf(http.StatusRequestEntityTooLarge, "The request included a message larger than the maximum message size the server can accept.")
	case kerr.ThrottlingQuotaExceeded:
		return gate.Errorf(http.StatusTooManyRequests, "%s", said)
	case kerr.GroupIDNotFound:
		return gate.Errorf(http.StatusNotFound, "Consumer group not found.")
	case kerr.KafkaStorageError, kerr.CorruptMessage:
		return gate.Errorf(codeKafka, "Kafka error: %s", said)
	}
	if e.Retriable {
		return gate.Errorf(codeKafkaRetriable, "Kafka error: %s", said)
	}
	return gate.Errorf(codeKafkaBadRequest, "%s", said)
}

func translateEmbedded(e *embedded.Error, whole error) *gate.Error {
	switch e.Kind {
	case embedded.Payload, embedded.BadArguments:
		return badRequest("%s", whole)
	case embedded.SchemaMissing:
		code := codeValueSchemaMissing
		if strings.Contains(e.Message, "keys") {
			code = codeKeySchemaMissing
		}
		return gate.Errorf(code, "%s", e.Message)
	case embedded.InvalidSchema:
		return gate.Errorf(codeInvalidSchema, "Invalid schema: %s", whole)
	case embedded.Forbidden:
		return gate.Errorf(codeForbidden, "%s", whole)
	}
	return gate.Errorf(codeSerialization, "Error serializing message. %s", whole)
}

// recordCode is the code of a record that was not produced, in answers that tell of each record.
func recordCode(err error) (code int, message string) {
	if isPartitionChoice(err) {
		return codePartitionNotFound, "Partition not found."
	}
	k, ok := errors.AsType[*kerr.Error](err)
	if !ok {
		return codeKafkaRetriable, err.Error()
	}
	switch t := translateKafka(k); {
	case t.Status == http.StatusUnauthorized, t.Status == http.StatusForbidden:
		return t.Code, k.Description
	case k.Retriable:
		return codeKafkaRetriable, k.Description
	}
	return codeKafka, k.Description
}
