// Package demo shows a stream at work: it sends real data through a broker, in the order and pace of the time it tells
// of, counts what comes back, and draws the counts in a terminal while they grow.
//
//	data (embedded) ──pace──> producer ──> topic ──> consumer group ──> Model ──Picture──> Draw ──> Screen
//
// Counting happens from consumed records alone, so the totals prove that nothing was lost or doubled on the way: they
// equal a plain count of the file. A run ends by itself once every record came back.
//
// Models and drawing are pure: a Model takes record values and yields a Picture, Draw turns a Picture and a size into
// lines, and tests compare those with files. Only Run and Screen touch the world. Run's own goroutine owns the model;
// the producer and the poller talk to it by channels and atomics, and have ended when Run returns.
//
// The package reaches a broker through clients that the caller makes, and works with any that speaks the Kafka
// protocol. It knows nothing of servers: who wants a throw-away one starts it first.
package demo
