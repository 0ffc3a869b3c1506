package topics

import (
	"context"
	"fmt"
	"maps"
	"strconv"
)

// The levels of features that were changed are kept like the configs of a resource: c/cluster/features.
const (
	clusterKind  = "cluster"
	featuresName = "features"
)

// features are the levels that were changed; a value that is not a level is left out, since another version wrote it.
type features struct {
	override
	levels map[string]int16
}

func makeFeatures(o override) features {
	f := features{o, make(map[string]int16, len(o.texts))}
	for name, text := range o.texts {
		if n, err := strconv.ParseInt(text, 10, 16); err == nil {
			f.levels[name] = int16(n)
		}
	}
	return f
}

// FeatureLevels are the levels of features that were changed, and the revision of the last change. The map must not be
// changed.
func (s *Store) FeatureLevels() (levels map[string]int16, epoch int64) {
	f := s.View().features
	return f.levels, f.revision
}

// SetFeatureLevels changes levels of features, all or none; whether they may change is up to the caller.
func (s *Store) SetFeatureLevels(ctx context.Context, levels map[string]int16) error {
	if err := s.begin(ctx); err != nil {
		return err
	}
	defer s.endTurn()
	for range attempts {
		v := s.View()
		texts := maps.Clone(v.features.texts)
		if texts == nil {
			texts = map[string]string{}
		}
		for name, level := range levels {
			texts[name] = strconv.Itoa(int(level))
		}
		var t txnBuilder
		t.put(configPrefix+clusterKind+"/"+featuresName, v.features.revision, encodeConfigs(texts))
		revision, ok, err := s.txn(ctx, t.compares, t.ops)
		if err != nil {
			return err
		}
		if ok {
			next := *v
			next.features, next.Revision = makeFeatures(override{texts, revision}), revision
			s.publish(&next)
			return nil
		}
	}
	return fmt.Errorf("levels of features: %w", errContended)
}
