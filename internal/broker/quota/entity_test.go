package quota

import (
	"math"
	"testing"

	"github.com/weir-stream/weir/internal/kafka"
)

func FuzzParseEntity(f *testing.F) {
	for _, s := range []string{"user=a&client-id", "user", "ip=10.0.0.1", "user=&client-id=", "client-id=a%26b", "user=a&user=b", "", "&", "who=x", "client-id=a&user=b", "user=%zz"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseEntity(text)
		if err == nil && e.String() != text {
			t.Errorf("%q became %q", text, e.String())
		}
	})
}

func TestEntitiesKeepTheirNames(t *testing.T) {
	t.Parallel()
	for _, e := range []Entity{
		{User: Named("a&b=c/d é\x00")}, {User: Any()}, {ClientID: Named("%")}, {User: Named(""), ClientID: Any()}, {User: Any(), ClientID: Named("user")}, {IP: Named("::1")}, {IP: Any()},
	} {
		got, err := ParseEntity(e.String())
		if err != nil || got != e {
			t.Errorf("%q: got %+v, %v; want %+v", e.String(), got, err, e)
		}
	}
}

func TestRatesAreChecked(t *testing.T) {
	t.Parallel()
	user, address := Entity{User: Any()}, Entity{IP: Any()}
	for _, c := range []struct {
		e     Entity
		key   string
		value float64
		ok    bool
	}{
		{user, ProducerByteRate, 1, true},
		{user, ProducerByteRate, math.NaN(), false},
		{user, ProducerByteRate, math.Inf(1), false},
		{user, ProducerByteRate, 0.5, false},
		{user, RequestPercentage, 0.5, true},
		{user, RequestPercentage, math.Inf(-1), false},
		{user, ConnectionCreationRate, 1, false},
		{address, ConnectionCreationRate, 1, true},
		{address, ProducerByteRate, 1, false},
		{user, "x", 1, false},
		{address, "x", 1, false},
	} {
		if err := Check(c.e, c.key, c.value); (err == nil) != c.ok || err != nil && kafka.CodeOf(err) != kafka.InvalidRequest {
			t.Errorf("%s of %q: %v: %v", c.key, c.e, c.value, err)
		}
	}
}
