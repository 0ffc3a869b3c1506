// Package internalrecord prints the records of Kafka's internal topics, of __consumer_offsets, __transaction_state and
// __share_group_state, as the JSON documents that Kafka's own dump tool and console consumer make of them:
//
//	key      {"type":"1","data":{"group":"g","topic":"t","partition":3}}
//	value    {"version":"4","data":{"offset":5,"leaderEpoch":2,"metadata":"","commitTimestamp":1795000000000}}
//
// Names, order and forms are Kafka's: numbers of states stay numbers, bytes are in base64, ids of topics in Kafka's form of
// it, and a tagged field that has its default is left out. Decoding is done by the packages of internal/kafka that coordinators
// read their logs with. Functions are pure and may be called from any goroutine. What they cannot decode they leave to the
// caller, who has the bytes.
package internalrecord

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"

	"github.com/weir-stream/weir/internal/kafka"
)

// Document returns the JSON of a record's key and value; that of a tombstone's value is nil. ok is false if the topic is not
// one of the internal ones, or the record is not one that is known: it then has to be shown as it is.
func Document(topic string, key, value []byte) (keyJSON, valueJSON []byte, ok bool) {
	if len(key) < 2 || value != nil && len(value) < 2 {
		return nil, nil, false
	}
	var k, v any
	switch topic {
	case kafka.GroupMetadataTopic:
		k, v, ok = groupRecord(key, value)
	case kafka.TransactionStateTopic:
		k, v, ok = transactionRecord(key, value)
	case kafka.ShareGroupStateTopic:
		k, v, ok = shareStateRecord(key, value)
	}
	if !ok {
		return nil, nil, false
	}
	keyJSON = encode(struct {
		Type string `json:"type"`
		Data any    `json:"data"`
	}{version(key), k})
	if value != nil {
		valueJSON = encode(struct {
			Version string `json:"version"`
			Data    any    `json:"data"`
		}{version(value), v})
	}
	return keyJSON, valueJSON, true
}

// version is the number that a key or value starts with, which Kafka prints as text.
func version(b []byte) string { return strconv.Itoa(int(int16(binary.BigEndian.Uint16(b)))) }

// encode returns v as JSON on one line, in which <, > and & stand for themselves.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the types of this package have a JSON form, and buffers do not fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// each returns what f makes of each element; never nil, so that an empty list is printed as one.
func each[T, U any](all []T, f func(T) U) []U {
	out := make([]U, 0, len(all))
	for _, v := range all {
		out = append(out, f(v))
	}
	return out
}

func list[T any](all []T) []T { return each(all, func(v T) T { return v }) }

// null stands for an empty text that Kafka keeps as null.
func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// tagged is a field that is left out if it has its default.
func tagged[T comparable](v, def T) *T {
	if v == def {
		return nil
	}
	return &v
}

type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type groupKey struct {
	Group string `json:"groupId"`
}

type memberKey struct {
	Group  string `json:"groupId"`
	Member string `json:"memberId"`
}

type epochValue struct {
	Epoch     int32  `json:"assignmentEpoch"`
	Timestamp *int64 `json:"assignmentTimestamp,omitempty"`
}

type topicPartitions struct {
	Topic      string  `json:"topicId"`
	Partitions []int32 `json:"partitions"`
	Epochs     []int32 `json:"assignmentEpochs,omitempty"`
}
