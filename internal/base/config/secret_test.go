package config

import (
	"errors"
	"strings"
	"testing"
)

// What is refused because a secret is in it is not repeated in the refusal; other mistakes are.
func TestRefusalsOfAddressesDoNotRepeatSecrets(t *testing.T) {
	t.Parallel()
	never := String("store", "", Check("an address", func(v any) error {
		if v == "" {
			return nil
		}
		return errors.New("no")
	}), "Where it is.")
	s := never.Setting()
	for _, text := range []string{
		"s3://AKIA:hunter2@bucket/x", "s3://b/x?endpoint=http://u:hunter2@h:1", "s3://b/x?endpoint=http%3A%2F%2Fu%3Ahunter2%40h", "s3://b/x?secret_key=hunter2",
		"s3://b?region=r&access_key=hunter2", "etcd://root:hunter2@h:1/x", "etcd://h:1/x?password=hunter2", "https://vault/k?Token=hunter2",
	} {
		if _, err := s.Parse(text); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "store") {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"s3://b/x?endpoint=http://h:1/path", "etcd://h:1,h:2/x?key_file=/k&cert_file=/c&unknown=1", "s3://Bucket/x?path_style=perhaps"} {
		if _, err := s.Parse(text); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
