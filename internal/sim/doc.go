// Package sim runs clusters that nobody can afford to run in a test: a hundred brokers, thousands of shards, hundreds of
// thousands of partitions, through hours of deaths, joins, drains, lost racks and load that wanders, in seconds.
//
//	workload (topics, skew, bursts) ──loads──> shards ──Snapshot──> placement.Decide ──moves──> model of the cluster
//	                                             ^                                                 |
//	                                             └──────────── owners, gaps, transactions ─────────┘
//
// The decisions are the product's own: package placement is called as the controller calls it. Everything around it is a
// model, whose times are the constants in Model with their reasons: how long a lease takes to end, a metadata transaction,
// a take-over, a hand-off. So the package tells how decisions and times add up, how long partitions are not served, how many moves an
// hour there are, how uneven load gets, how large the metadata is, and not how fast a broker is.
//
// Time is simulated and randomness comes from one seed: the same Config gives the same Report, but for the real time that decisions
// took. Run is called by tests
// and by `make sim` alone; nothing of the product imports the package. Price lists are in sim/cost.
package sim
