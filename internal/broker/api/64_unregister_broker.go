// UnregisterBroker, key 64, version 0.
//
// There is no list of brokers that were: any id but this broker's is BROKER_ID_NOT_REGISTERED.
//
// Differences from Kafka: this broker refuses to be forgotten, where Kafka forgets a broker that is running and leaves it
// without a registration until it is started anew.
package api

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) unregisterBroker(_ context.Context, c *Conn, req *kmsg.UnregisterBrokerRequest) (*kmsg.UnregisterBrokerResponse, error) {
	res := kmsg.NewPtrUnregisterBrokerResponse()
	err := kafka.Errorf(kafka.BrokerIDNotRegistered, "Broker ID %d is not currently registered", req.BrokerID)
	switch {
	case !s.allowCluster(c, auth.Alter):
		err = kafka.ClusterAuthorizationFailed
	case req.BrokerID == s.nodeID:
		err = kafka.Errorf(kafka.InvalidRequest, "Broker ID %d is running", req.BrokerID)
	}
	res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
	return res, nil
}
