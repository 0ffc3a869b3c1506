// Package topics owns what the cluster knows about itself: its id, its topics, and the configs of topics, brokers,
// groups and client-metrics subscriptions. All of it lives in the metadata store:
//
//	t/<topic name>          id, partitions, first shard, overrides of configs
//	c/broker/<id|default>   broker settings changed while running, for one broker or for all
//	c/group/<name>          configs of a group            } names are escaped as in a URL path
//	c/metrics/<name>        a client-metrics subscription }
//	c/quota/<entity>        quotas of clients
//	c/cluster/features      levels of features that were changed
//	ids/cluster, ids/pid    the cluster's id; the first producer id that no block covers
//
// Values are binary, versioned and checksummed (codec.go): a store with 100,000 topics has to be read in well under a
// second, and a topic record is too small for anything to be gained by text.
//
// A View is an immutable snapshot of all of it; View() costs one atomic load. A change is checked against the
// newest view, written in one transaction, published as a new view, told to the functions given to OnChange, and only
// then answered: whoever is answered finds the topic everywhere in this process.
//
// Changes of other brokers come as events of the metadata store, key by key (follow.go), a moment after they were answered
// there. A change that meets one it did not know of is checked again on what is there now.
//
// Changes run one at a time, in the order in which they take the turn, a channel that holds one token. It is no lock
// because I/O and callbacks happen under it; a callback must not start a change, it would wait for itself. Producer ids
// have a turn of their own. Nothing else waits: readers only ever load the view.
//
// What is checked, and the code and words of every refusal, are those of Kafka 4.3.
// Errors for clients are *kafka.Detail or kafka.Error; any other error is the metadata store's. After one of those the
// change may or may not have happened; the Store then reads the keys again before its next change.
//
// The package decides nothing about records: the effect of a config is up to who reads LogConfig or GroupConfig.
package topics
