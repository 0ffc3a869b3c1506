package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"
)

func TestMappingRules(t *testing.T) {
	t.Parallel()
	const dn = "CN=Duke,OU=ServiceUsers,O=Org,C=US"
	for _, c := range []struct{ rules, dn, want string }{
		{"DEFAULT", dn, dn},
		{"", dn, dn},
		{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/, DEFAULT", dn, "Duke"},
		{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/L,DEFAULT", dn, "duke"},
		{"RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/U", dn, "DUKE"},
		{"RULE:^CN=(.*?),OU=Admins.*$/$1/L,RULE:^CN=(.*?), *OU=(.*?),.*$/$1@$2/L", dn, "duke@serviceusers"},
		{"RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/L", dn, "duke"},
		{`RULE:CN=(\w+)\/.*/\$$1/`, "CN=a/b", "$a"},
		{"RULE:^CN=(.*?),OU=Admins.*$/$1/", dn, ""},
		{"RULE:Duke/x/", dn, ""}, // a pattern is for all of the name
	} {
		m, err := parseMapping(c.rules)
		if err != nil {
			t.Errorf("%s: %v", c.rules, err)
			continue
		}
		if got, err := m.name(c.dn); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: got %q, %v, want %q", c.rules, got, err, c.want)
		}
	}
	for _, wrong := range []string{"x", "DEFAULT DEFAULT", "RULE:a/b", "RULE:(/b/", "RULE:a/b/X", "default"} {
		if _, err := parseMapping(wrong); err == nil {
			t.Errorf("%q was accepted", wrong)
		}
	}
}

func TestDistinguishedNamesAreWrittenAsJavaDoes(t *testing.T) {
	t.Parallel()
	set := func(parts ...pkix.AttributeTypeAndValue) pkix.RelativeDistinguishedNameSET { return parts }
	at := func(value string, oid ...int) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: oid, Value: value}
	}
	raw, err := asn1.Marshal(pkix.RDNSequence{
		set(at("US", 2, 5, 4, 6)), set(at("Org, Inc.", 2, 5, 4, 10)), set(at("a", 2, 5, 4, 11), at("b", 0, 9, 2342, 19200300, 100, 1, 25)),
		set(at("x@y", 1, 2, 840, 113549, 1, 9, 1)), set(at("#Joe ", 2, 5, 4, 3)),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `CN=\#Joe\ ,1.2.840.113549.1.9.1=#0c03784079,OU=a+DC=b,O=Org\, Inc.,C=US`
	if got, err := distinguishedName(raw); got != want || err != nil {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
	if _, err := distinguishedName([]byte("x")); err == nil {
		t.Error("garbage is a name")
	}
}
