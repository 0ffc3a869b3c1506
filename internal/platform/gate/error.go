package gate

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/weir-stream/weir/internal/kafka"
)

// Error is an answer that tells of a failure, as Confluent's services shape it: the HTTP status, and a code that says more. Codes
// of the services are the status and two digits; Code 0 stands for the status itself.
type Error struct {
	Status  int
	Code    int
	Message string
	// Header is added to the answer.
	Header http.Header
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.code(), e.Message) }

func (e *Error) code() int {
	if e.Code == 0 {
		return e.Status
	}
	return e.Code
}

// Errorf makes an error of a code whose first three digits are the HTTP status, or which is one.
func Errorf(code int, format string, args ...any) *Error {
	status := code
	for status > 999 {
		status /= 10
	}
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

// The errors that a Bridge returns, wrapped, and what they become where the service does not say otherwise.
var (
	// ErrUnauthenticated is for credentials that are missing or wrong: 401 with the code 40101.
	ErrUnauthenticated = errors.New("unauthorized")
	// ErrForbidden is for a caller who may not do what he asks for: 403 with the code 40301.
	ErrForbidden = errors.New("forbidden")
	// ErrUnavailable is for a cluster that cannot be asked now: 503 with the code 50302.
	ErrUnavailable = errors.New("the cluster cannot be reached")
	// ErrBusy is for a bound on callers or requests that is reached: 429.
	ErrBusy = errors.New("too many callers at once")
)

// errorOf says what an error is to the client. ok is false for one that nobody foresaw, whose text stays in the log.
func errorOf(err error, translate func(error) *Error) (e *Error, ok bool) {
	if e, ok := errors.AsType[*Error](err); ok {
		return e, true
	}
	if translate != nil {
		if e := translate(err); e != nil {
			return e, true
		}
	}
	if tooLarge, is := errors.AsType[*http.MaxBytesError](err); is {
		return Errorf(http.StatusRequestEntityTooLarge, "The body of the request is larger than %d bytes", tooLarge.Limit), true
	}
	switch {
	case errors.Is(err, ErrUnauthenticated):
		return &Error{Status: http.StatusUnauthorized, Code: 40101, Message: "Unauthorized"}, true
	case errors.Is(err, ErrForbidden), errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.GroupAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		return &Error{Status: http.StatusForbidden, Code: 40301, Message: "User is denied the operation on this resource"}, true
	case errors.Is(err, ErrBusy):
		return Errorf(http.StatusTooManyRequests, "Too many callers at once: try again"), true
	case errors.Is(err, ErrUnavailable):
		return Errorf(50302, "The Kafka cluster cannot be reached: try again"), true
	case errors.Is(err, context.DeadlineExceeded):
		return Errorf(http.StatusGatewayTimeout, "The request took too long"), true
	case errors.Is(err, context.Canceled):
		return Errorf(http.StatusServiceUnavailable, "The server stops, or the client has gone"), true
	}
	return Errorf(http.StatusInternalServerError, "Internal Server Error"), false
}

// Explain says what an error is to clients, for answers that hold errors inside. nil: nobody foresaw it.
func Explain(err error, translate func(error) *Error) *ErrorBody {
	e, ok := errorOf(err, translate)
	if !ok {
		return nil
	}
	return &ErrorBody{Code: e.code(), Message: e.Message}
}
