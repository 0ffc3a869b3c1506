// Package kafka holds the nouns of the Kafka protocol that every other part shares: error codes, topic names, topic
// ids, producer ids, and the names of internal topics.
//
// It promises that each error code is declared once (errors.go), with Kafka's own name, number and retriability, and
// that a value of type Error can be returned, wrapped and tested like any other error. Code that answers a client asks
// CodeOf and TextOf; nothing else turns errors into codes.
//
// Everything here is a plain value: no state, no locks, no I/O, safe for use by any goroutine. Any package above base
// may import it, and it imports nothing of ours.
//
// Record batches are in package record, frames and requests in package wire, and the making of clients in package
// client, all below this one. What is not here: the meaning of requests, which lies with broker/api, and the settings of
// topics, which lie with broker/topics.
package kafka
