//go:build cluster && linux

package etcd

import (
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/base/servertest"
)

// BenchmarkPut compares a transaction with its guard to the same put without.
func BenchmarkPut(b *testing.B) {
	endpoint, _ := servertest.StartEtcd(b)
	o := Options{Location: Location{Endpoints: []string{endpoint[len("http://"):]}, Prefix: "bench"}}
	s, err := Open(b.Context(), o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	value := make([]byte, 256)
	for _, clients := range []int{1, 32} {
		b.Run(fmt.Sprintf("guard=true/clients=%d", clients), func(b *testing.B) {
			b.SetParallelism(clients)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := s.Txn(b.Context(), nil, []meta.Op{{Kind: meta.Put, Key: "k", Value: value}}); err != nil {
						b.Error(err)
					}
				}
			})
		})
		b.Run(fmt.Sprintf("guard=false/clients=%d", clients), func(b *testing.B) {
			b.SetParallelism(clients)
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if _, err := s.kv.Txn(b.Context(), &pb.TxnRequest{Success: []*pb.RequestOp{putOp("bench/k/k", value, 0)}}); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
