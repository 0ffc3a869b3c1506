package internalrecord

import (
	"github.com/weir-stream/weir/internal/kafka/txnrecord"
)

// transactionRecord decodes a record of __transaction_state.
func transactionRecord(key, value []byte) (k, v any, ok bool) {
	r, err := txnrecord.Decode(key, value)
	if err != nil {
		return nil, nil, false
	}
	k = transactionKey{r.TransactionalID}
	t := r.Transaction
	if t == nil {
		return k, nil, true
	}
	d := transactionValue{
		ProducerID: t.ProducerID, PreviousProducerID: tagged(t.PreviousProducerID, txnrecord.None), NextProducerID: tagged(t.NextProducerID, txnrecord.None),
		ProducerEpoch: t.ProducerEpoch, Timeout: t.TimeoutMillis, Status: int8(t.State), LastUpdate: t.LastUpdate, Start: t.Start,
		ClientVersion: tagged(t.ClientVersion, 0),
	}
	if t.State != txnrecord.Empty {
		d.Partitions = []transactionTopic{} // in the state of that name it is null
	}
	for _, tp := range t.Partitions {
		if n := len(d.Partitions); n == 0 || d.Partitions[n-1].Topic != tp.Topic {
			d.Partitions = append(d.Partitions, transactionTopic{Topic: tp.Topic})
		}
		last := &d.Partitions[len(d.Partitions)-1]
		last.Partitions = append(last.Partitions, tp.Partition)
	}
	return k, d, true
}

type transactionKey struct {
	TransactionalID string `json:"transactionalId"`
}

type transactionValue struct {
	ProducerID         int64              `json:"producerId"`
	PreviousProducerID *int64             `json:"previousProducerId,omitempty"`
	NextProducerID     *int64             `json:"nextProducerId,omitempty"`
	ProducerEpoch      int16              `json:"producerEpoch"`
	Timeout            int32              `json:"transactionTimeoutMs"`
	Status             int8               `json:"transactionStatus"`
	Partitions         []transactionTopic `json:"transactionPartitions"`
	LastUpdate         int64              `json:"transactionLastUpdateTimestampMs"`
	Start              int64              `json:"transactionStartTimestampMs"`
	ClientVersion      *int16             `json:"clientTransactionVersion,omitempty"`
}

type transactionTopic struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitionIds"`
}
