package app

import (
	"github.com/weir-stream/weir/internal/broker"
	"github.com/weir-stream/weir/internal/broker/cluster"
)

// publishAlone makes the view of a broker that has no others: it owns every shard, in the epoch of this start, and controls itself.
// The epochs are known once storage is ready, the endpoints once the listeners are bound.
func publishAlone(d *cluster.Directory, rack string, shards int32, epoch func(shard int32) int32, listeners []broker.Listener) {
	self := d.View().Self
	b := cluster.Broker{ID: self, Rack: rack}
	for _, l := range listeners {
		if l.Within != nil {
			continue // nobody else can connect there
		}
		b.Endpoints = append(b.Endpoints, cluster.Endpoint{Listener: l.Name, Host: l.AdvertisedHost, Port: l.AdvertisedPort})
	}
	v := &cluster.View{Self: self, Controller: self, Brokers: []cluster.Broker{b}}
	for i := range shards {
		v.Shards = append(v.Shards, cluster.Ownership{Broker: self, Epoch: epoch(i)})
	}
	d.Publish(v)
}

// brokersOf returns the ids of the brokers of a directory's newest view.
func brokersOf(d *cluster.Directory) func() []int32 {
	return func() []int32 {
		v := d.View()
		ids := make([]int32, 0, len(v.Brokers))
		for i := range v.Brokers {
			ids = append(ids, v.Brokers[i].ID)
		}
		return ids
	}
}
