package etcd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/weir-stream/weir/internal/base/meta"
)

// verdict says what an error of etcd tells about the request that it answers.
type verdict uint8

const (
	// unclear: it may have been done, or be done yet. Ask again.
	unclear verdict = iota
	// undone: it was refused before anything was done, for a reason that may pass. Ask again.
	undone
	// final: it was refused, and would be again.
	final
	// noLease: a put named a lease that is not there; nothing was done.
	noLease
	// full: etcd's quota is used up. A transaction may have been done all the same, as the last.
	full
	// compacted: the revision asked for is forgotten.
	compacted
)

// judge tells what err, which is not nil, says. Whatever is not known to say more is unclear.
func judge(err error) verdict {
	known, code := rpctypes.Error(err), status.Code(err)
	if e, ok := errors.AsType[rpctypes.EtcdError](known); ok {
		code = e.Code()
	}
	switch {
	case errors.Is(known, rpctypes.ErrLeaseNotFound):
		return noLease
	case errors.Is(known, rpctypes.ErrNoSpace):
		return full
	case errors.Is(known, rpctypes.ErrCompacted):
		return compacted
	case errors.Is(known, rpctypes.ErrTooManyRequests), errors.Is(known, rpctypes.ErrInvalidAuthToken),
		errors.Is(known, rpctypes.ErrAuthOldRevision), errors.Is(known, rpctypes.ErrUserEmpty):
		return undone
	}
	switch code {
	case codes.InvalidArgument, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented, codes.FailedPrecondition,
		codes.NotFound, codes.OutOfRange, codes.DataLoss:
		return final
	default:
		return unclear
	}
}

// refusal is a final error in the words of package meta.
func refusal(err error) error {
	switch known := rpctypes.Error(err); {
	case errors.Is(known, rpctypes.ErrRequestTooLarge), errors.Is(known, rpctypes.ErrTooManyOps):
		return fmt.Errorf("limits of etcd: %w: %w", meta.ErrInvalid, known)
	case status.Code(err) == codes.DataLoss:
		return fmt.Errorf("%w: %w", meta.ErrCorrupt, known)
	default:
		return known
	}
}

// pause waits between tries, longer each time, and not in step with others.
type pause time.Duration

const (
	firstPause = 10 * time.Millisecond
	lastPause  = time.Second
)

// wait returns early, with an error, when ctx ends.
func (p *pause) wait(ctx context.Context) error {
	d := min(max(2*time.Duration(*p), firstPause), lastPause)
	*p = pause(d)
	t := time.NewTimer(d/2 + rand.N(d)) //nolint:gosec // spreads load, keeps no secret
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ask calls f, with a time limit for each try, until it succeeds, is refused for good, or ctx ends. What f does must be
// harmless when done twice. Its error wraps that of ctx if that is why it ended, and stays etcd's own otherwise.
func (s *Store) ask(ctx context.Context, f func(ctx context.Context) error) error {
	var p pause
	for {
		err := s.try(ctx, f)
		if err == nil {
			return nil
		}
		if v := judge(err); v != unclear && v != undone {
			return err
		}
		s.metrics.retries.Inc()
		if ctxErr := p.wait(ctx); ctxErr != nil {
			return fmt.Errorf("%w: %w", ctxErr, plain(err))
		}
	}
}

// try calls f once with its own time.
func (s *Store) try(ctx context.Context, f func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.o.Attempt)
	defer cancel()
	return f(requireLeader(ctx))
}

var errSessionLost = errors.New("the session in etcd ended before the outcome was known")

// plain is err without what it wraps: an error of a try must not be taken for one of the caller's context.
func plain(err error) error { return errors.New(rpctypes.ErrorDesc(err)) }
