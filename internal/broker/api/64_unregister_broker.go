// UnregisterBroker, key 64, version 0.
//
// There is no list of brokers that were: an id of none that is alive is BROKER_ID_NOT_REGISTERED.
//
// Differences from Kafka: a running broker is not forgotten but INVALID_REQUEST, where Kafka forgets it and leaves it without a
// registration until it is started anew.
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
	_, alive := s.cluster.View().Broker(req.BrokerID)
	switch {
	case !s.allowCluster(c, auth.Alter):
		err = kafka.ClusterAuthorizationFailed
	case alive:
		err = kafka.Errorf(kafka.InvalidRequest, "Broker ID %d is running", req.BrokerID)
	}
	res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
	return res, nil
}
