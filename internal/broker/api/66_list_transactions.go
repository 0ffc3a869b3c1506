package api

// ListTransactions (key 66), versions 0-2: transactional ids with their states. Those that the client may not describe are
// left out.
//
// 0: filters by state and producer id. 1: by how long the last transaction has lasted, in ms; like Kafka that counts for
// ids without a transaction too. 2: by a pattern that the whole id has to match (RE2).

import (
	"context"
	"regexp"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// patternBytesMax bounds the pattern of a client.
const patternBytesMax = 4 << 10

func (s *Server) listTransactions(ctx context.Context, c *Conn, req *kmsg.ListTransactionsRequest) (*kmsg.ListTransactionsResponse, error) {
	res := kmsg.NewPtrListTransactionsResponse()
	var states []txnrecord.State
	for _, name := range req.StateFilters {
		if state, ok := txnrecord.ParseState(name); ok {
			states = append(states, state)
		} else {
			res.UnknownStateFilters = append(res.UnknownStateFilters, name)
		}
	}
	pattern, ok := wholePattern(text(req.TransactionalIDPattern))
	if !ok {
		res.ErrorCode = kafka.InvalidRegularExpression.Code()
		return res, nil
	}
	all, err := s.transactional.List(ctx)
	if err != nil {
		res.ErrorCode = codeOf(err).Code()
		return res, nil
	}
	now := s.now().UnixMilli()
	for _, l := range all {
		t := l.Transaction
		switch {
		case len(req.ProducerIDFilters) > 0 && !slices.Contains(req.ProducerIDFilters, t.ProducerID):
		case len(req.StateFilters) > 0 && !slices.Contains(states, t.State):
		case req.DurationFilterMillis >= 0 && now-t.Start <= req.DurationFilterMillis:
		case pattern != nil && !pattern.MatchString(l.TransactionalID):
		case !s.may(c, auth.Describe, auth.TransactionalID, l.TransactionalID):
		default:
			x := kmsg.NewListTransactionsResponseTransactionState()
			x.TransactionalID, x.ProducerID, x.TransactionState = l.TransactionalID, t.ProducerID, t.State.String()
			res.TransactionStates = append(res.TransactionStates, x)
		}
	}
	return res, nil
}

// wholePattern returns what matches all of a text that pattern describes, nil for an empty one, and false if it is no
// pattern.
func wholePattern(pattern string) (*regexp.Regexp, bool) {
	if pattern == "" {
		return nil, true
	}
	if len(pattern) > patternBytesMax {
		return nil, false
	}
	re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
	return re, err == nil
}
