// DescribeClientQuotas, key 48, versions 0 and 1.
//
// Lists the quotas of the entities that have all the sides asked for: by name, the default, or either. Strict leaves out
// entities that have other sides too.
//
//	v1  flexible
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

func (s *Server) describeClientQuotas(_ context.Context, c *Conn, req *kmsg.DescribeClientQuotasRequest) (*kmsg.DescribeClientQuotasResponse, error) {
	res := kmsg.NewPtrDescribeClientQuotasResponse()
	components := make([]quota.Component, len(req.Components))
	for i := range req.Components {
		x := &req.Components[i]
		components[i] = quota.Component{Type: x.EntityType, Kind: quota.MatchKind(x.MatchType), Match: x.Match}
	}
	filter, err := quota.NewFilter(components, req.Strict)
	if !s.allowCluster(c, auth.DescribeConfigs) {
		err = kafka.ClusterAuthorizationFailed
	}
	if err != nil {
		res.ErrorCode, res.ErrorMessage = codeOf(err).Code(), textOf(err)
		return res, nil
	}
	res.ErrorMessage, res.Entries = new(""), []kmsg.DescribeClientQuotasResponseEntry{}
	for _, e := range QuotasOf(s.topics.View()) {
		if !filter.Matches(e.Entity) {
			continue
		}
		out := kmsg.NewDescribeClientQuotasResponseEntry()
		e.Entity.Each(func(kind string, p quota.Part) {
			side := kmsg.NewDescribeClientQuotasResponseEntryEntity()
			if side.Type = kind; !p.Default {
				side.Name = &p.Name
			}
			out.Entity = append(out.Entity, side)
		})
		for _, key := range slices.Sorted(maps.Keys(e.Quotas)) {
			v := kmsg.NewDescribeClientQuotasResponseEntryValue()
			v.Key, v.Value = key, e.Quotas[key]
			out.Values = append(out.Values, v)
		}
		res.Entries = append(res.Entries, out)
	}
	return res, nil
}

// QuotasOf reads the quotas of a view, sorted by the text of their entities. What another version wrote, and this one does
// not understand, is left out.
func QuotasOf(view *topics.View) []quota.Entry {
	var names []string
	texts := map[string]map[string]string{}
	view.Quotas(func(entity string, values map[string]string) {
		names, texts[entity] = append(names, entity), values
	})
	slices.Sort(names)
	out := make([]quota.Entry, 0, len(names))
	for _, name := range names {
		e, err := quota.ParseEntity(name)
		if err != nil {
			continue
		}
		out = append(out, readQuotas(e, texts[name]))
	}
	return out
}

// readQuotas reads the stored quotas of an entity; what none of its quotas can be is left out.
func readQuotas(e quota.Entity, texts map[string]string) quota.Entry {
	entry := quota.Entry{Entity: e, Quotas: make(quota.Quotas, len(texts))}
	for key, text := range texts {
		if v, err := strconv.ParseFloat(text, 64); err == nil && quota.Check(e, key, v) == nil {
			entry.Quotas[key] = v
		}
	}
	return entry
}
