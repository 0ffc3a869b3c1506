// AlterClientQuotas, key 49, versions 0 and 1.
//
// Sets and removes quotas of entities; each entity succeeds or fails by itself. An entity that stands in the request again
// is refused, and the refusal is its answer, although what stood first has happened: so does Kafka.
//
//	v1  flexible
//
// Differences from Kafka: addresses are written as such, names of hosts are not looked up; what is not a number is refused
// as a rate, where Kafka takes it and limits nothing.
package api

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/weir-stream/weir/internal/broker/auth"
	"github.com/weir-stream/weir/internal/broker/quota"
	"github.com/weir-stream/weir/internal/broker/topics"
	"github.com/weir-stream/weir/internal/kafka"
)

func (s *Server) alterClientQuotas(ctx context.Context, c *Conn, req *kmsg.AlterClientQuotasRequest) (*kmsg.AlterClientQuotasResponse, error) {
	allowed := s.allowCluster(c, auth.AlterConfigs)
	plan := quotaPlan{place: map[string]int{}}
	for i := range req.Entries {
		e := &req.Entries[i]
		change, err := topics.QuotaChange{}, error(kafka.ClusterAuthorizationFailed)
		if allowed {
			change, err = quotaChange(e)
		}
		plan.add(e, change, err)
	}
	if !req.ValidateOnly && len(plan.changes) > 0 {
		for i, err := range s.topics.SetQuotas(ctx, plan.changes) {
			if err != nil {
				plan.errs[plan.of[i]] = err
			}
		}
	}
	return plan.answer(), nil
}

// quotaPlan gathers the entries of a request: one answer for each entity.
type quotaPlan struct {
	entities [][]kmsg.AlterClientQuotasRequestEntryEntity
	errs     []error
	place    map[string]int // of an entity in errs
	changes  []topics.QuotaChange
	of       []int // what errs each change has
}

func (p *quotaPlan) add(e *kmsg.AlterClientQuotasRequestEntry, change topics.QuotaChange, err error) {
	at, again := p.place[change.Entity]
	if change.Entity == "" || !again {
		at = len(p.errs)
		p.entities, p.errs = append(p.entities, e.Entity), append(p.errs, err)
		p.place[change.Entity] = at
	}
	switch {
	case change.Entity != "" && again:
		p.errs[at] = duplicateEntity(e)
	case err == nil:
		p.changes, p.of = append(p.changes, change), append(p.of, at)
	}
}

func (p *quotaPlan) answer() *kmsg.AlterClientQuotasResponse {
	res := kmsg.NewPtrAlterClientQuotasResponse()
	for i, err := range p.errs {
		out := kmsg.NewAlterClientQuotasResponseEntry()
		out.ErrorCode, out.ErrorMessage = codeOf(err).Code(), textOf(err)
		seen := map[string]bool{}
		for _, side := range slices.Backward(p.entities[i]) { // the last of a type counts
			if !seen[side.Type] {
				seen[side.Type] = true
				x := kmsg.NewAlterClientQuotasResponseEntryEntity()
				x.Type, x.Name = side.Type, side.Name
				out.Entity = append(out.Entity, x)
			}
		}
		res.Entries = append(res.Entries, out)
	}
	return res
}

// quotaChange checks an entry. The entity of the change is set if the entry has one, even where it is refused.
func quotaChange(e *kmsg.AlterClientQuotasRequestEntry) (topics.QuotaChange, error) {
	kinds, names := make([]string, len(e.Entity)), make([]*string, len(e.Entity))
	for i := range e.Entity {
		kinds[i], names[i] = e.Entity[i].Type, e.Entity[i].Name
	}
	entity, err := quota.EntityOf(kinds, names)
	if err != nil {
		return topics.QuotaChange{}, err
	}
	change := topics.QuotaChange{Entity: entity.String(), Values: make(map[string]*string, len(e.Ops))}
	for i := range e.Ops {
		op := &e.Ops[i]
		if _, twice := change.Values[op.Key]; twice {
			return change, duplicateEntity(e)
		}
		change.Values[op.Key] = nil
		if !op.Remove {
			if err := quota.Check(entity, op.Key, op.Value); err != nil {
				return change, err
			}
			change.Values[op.Key] = new(strconv.FormatFloat(op.Value, 'g', -1, 64))
		}
	}
	return change, nil
}

func duplicateEntity(e *kmsg.AlterClientQuotasRequestEntry) error {
	sides := map[string]string{}
	for i := range e.Entity {
		sides[e.Entity[i].Type] = text(e.Entity[i].Name)
	}
	list := ""
	for _, kind := range slices.Sorted(maps.Keys(sides)) {
		if list != "" {
			list += ", "
		}
		list += kind + "=" + sides[kind]
	}
	return kafka.Errorf(kafka.InvalidRequest, "Ignoring duplicate entity ClientQuotaEntity(entries={%s})", list)
}
