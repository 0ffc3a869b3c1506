package topics

import (
	"maps"
	"strings"
	"testing"

	"github.com/weir-stream/weir/internal/base/meta"
	"github.com/weir-stream/weir/internal/kafka"
)

func quotasOf(v *View) map[string]map[string]string {
	out := map[string]map[string]string{}
	v.Quotas(func(e string, values map[string]string) { out[e] = values })
	return out
}

func TestQuotasAreKeptUntilTheyAreTakenAway(t *testing.T) {
	t.Parallel()
	m := meta.NewMem(nil)
	s := openStore(t, m)
	change := func(entity string, values map[string]*string) QuotaChange { return QuotaChange{entity, values} }
	for _, step := range []struct {
		changes []QuotaChange
		want    map[string]map[string]string
	}{
		{
			[]QuotaChange{change("user=a%2Fb&client-id", map[string]*string{"x": new("1"), "y": new("2")}), change("user", map[string]*string{"x": new("3")})},
			map[string]map[string]string{"user=a%2Fb&client-id": {"x": "1", "y": "2"}, "user": {"x": "3"}},
		},
		{
			[]QuotaChange{change("user=a%2Fb&client-id", map[string]*string{"x": nil, "z": nil})},
			map[string]map[string]string{"user=a%2Fb&client-id": {"y": "2"}, "user": {"x": "3"}},
		},
		{
			[]QuotaChange{change("user", map[string]*string{"x": nil}), change("nobody", map[string]*string{"x": nil}), change("empty", nil)},
			map[string]map[string]string{"user=a%2Fb&client-id": {"y": "2"}},
		},
	} {
		before := s.View()
		for i, err := range s.SetQuotas(t.Context(), step.changes) {
			if err != nil {
				t.Errorf("change %d: %v", i, err)
			}
		}
		if s.View().SameQuotas(before) {
			t.Error("the view does not tell of a change")
		}
		for _, v := range []*View{s.View(), openStore(t, m).View()} {
			if got := quotasOf(v); !maps.EqualFunc(got, step.want, maps.Equal) {
				t.Errorf("got %v, want %v", got, step.want)
			}
		}
	}
	if err := s.SetQuotas(t.Context(), []QuotaChange{change("user="+strings.Repeat("x", meta.MaxKeyBytes), map[string]*string{"x": new("1")})})[0]; kafka.CodeOf(err) != kafka.InvalidRequest {
		t.Errorf("a name that is too long: %v", err)
	}
}
