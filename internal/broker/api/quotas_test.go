package api

import (
	"testing"

	"github.com/weir-stream/weir/internal/broker/quota"
)

// FuzzStoredQuotas: whatever another version has stored, what is read of it are quotas that may be, of an entity that is
// written as it was read.
func FuzzStoredQuotas(f *testing.F) {
	some := "alice"
	for _, e := range []quota.Entity{
		{User: quota.Named(some)}, {User: quota.Any(), ClientID: quota.Named("a/b=c,d")}, {IP: quota.Any()}, {ClientID: quota.Named("ü")},
	} {
		f.Add(e.String(), quota.ProducerByteRate, "1048576")
		f.Add(e.String(), quota.ConnectionCreationRate, "NaN")
	}
	f.Add("", "", "")
	f.Add("user=", quota.RequestPercentage, "1e309")
	f.Add("ip=x,user=y", quota.ConsumerByteRate, "-5")
	f.Fuzz(func(t *testing.T, entity, key, value string) {
		e, err := quota.ParseEntity(entity)
		if err != nil {
			return
		}
		if again, err := quota.ParseEntity(e.String()); err != nil || again != e {
			t.Fatalf("%q is %+v, which is read again as %+v, %v", entity, e, again, err)
		}
		for k, v := range readQuotas(e, map[string]string{key: value}).Quotas {
			if err := quota.Check(e, k, v); err != nil || !(v > 0) {
				t.Fatalf("%s=%s of %s is read as %v: %v", key, value, entity, v, err)
			}
		}
	})
}
