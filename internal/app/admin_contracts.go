package app

import (
	"net/http"

	"github.com/weir-stream/weir/internal/platform/contract"
)

// contractAdmin answers the admin server's questions about contracts, for this broker alone:
//
//	GET /v1/contracts/TOPIC/violations   ContractViolations
//
// Keys of records are told to callers on the same machine alone: nobody logs in here.
type contractAdmin struct {
	broker    int32
	contracts *contract.Validator
}

// ContractViolations are the last records that broke a topic's contract on one broker, the newest first.
type ContractViolations struct {
	Topic      string            `json:"topic"`
	Broker     int32             `json:"broker"`
	Violations []contract.Sample `json:"violations"`
}

func (a *contractAdmin) register(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/contracts/{topic}/violations", func(w http.ResponseWriter, r *http.Request) {
		v := ContractViolations{Topic: r.PathValue("topic"), Broker: a.broker, Violations: a.contracts.Samples(r.PathValue("topic"))}
		if v.Violations == nil {
			v.Violations = []contract.Sample{}
		}
		if !fromHere(r) {
			for i := range v.Violations {
				v.Violations[i].Key = nil
			}
		}
		answer(w, http.StatusOK, v)
	})
}
