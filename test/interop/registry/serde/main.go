// Command serde writes and reads one record with Weir's own serializers, for the clients of other languages to be compared with: the bytes go through its arguments and its output, in hex.
//
//	serde write TOPIC NAME AGE    by the latest schema of the topic's values
//	serde read TOPIC HEX          prints the name and the age
//
// The registry is $REGISTRY, and the secret of the KMS local-kms $LOCAL_SECRET, as Confluent's clients have it.
package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/weir-stream/weir/serde"
)

type user struct {
	Name string `avro:"name"`
	Age  int64  `avro:"age"`
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "serde:", err)
		cancel()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	kms, err := serde.LocalKMS(os.Getenv("LOCAL_SECRET"))
	if err != nil {
		return err
	}
	client, err := serde.NewClient(serde.ClientOptions{URLs: []string{os.Getenv("REGISTRY")}, KMS: map[string]serde.KMS{"local-kms": kms}})
	if err != nil {
		return err
	}
	switch {
	case len(args) == 4 && args[0] == "write":
		return write(ctx, client, args[1], args[2], args[3])
	case len(args) == 3 && args[0] == "read":
		return read(ctx, client, args[1], args[2])
	default:
		return fmt.Errorf("usage: serde write TOPIC NAME AGE | serde read TOPIC HEX")
	}
}

func write(ctx context.Context, client *serde.Client, topic, name, age string) error {
	n, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		return err
	}
	s, err := serde.NewSerializer(client, serde.SerializerOptions{Use: serde.UseLatest})
	if err != nil {
		return err
	}
	data, headers, err := s.Serialize(ctx, topic, user{name, n})
	if err != nil {
		return err
	}
	if len(headers) > 0 {
		return fmt.Errorf("headers where the id belongs in front: %v", headers)
	}
	_, err = fmt.Println(hex.EncodeToString(data))
	return err
}

func read(ctx context.Context, client *serde.Client, topic, text string) error {
	data, err := hex.DecodeString(text)
	if err != nil {
		return err
	}
	d, err := serde.NewDeserializer(client, serde.DeserializerOptions{})
	if err != nil {
		return err
	}
	var u user
	if err := d.Deserialize(ctx, topic, data, nil, &u); err != nil {
		return err
	}
	_, err = fmt.Println(u.Name, u.Age)
	return err
}
